#!lua
-- One change: all conditions, then all steps and the log entry, or nothing.
--
-- KEYS  the log, the log's head, then the key of each condition and of each step
-- ARGV  the event, how many log entries to keep, a mark for the log entry that no other entry
--       has, the number of conditions, then the kind and the operand of each condition and of
--       each step
--
-- Returns the number of the log entry, 0 without an event, or -n where condition n (counted from
-- 1) does not hold.
--
-- A script is not rolled back when a command in it fails, so whatever can fail is asked before
-- the first write. The first line makes Redis itself refuse the script as a whole, before it
-- starts, where writes are refused: out of memory, a replica, a disk that failed.
local log, head = KEYS[1], KEYS[2]
local event, keep, mark, conditions = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local function part(i)
  return KEYS[2 + i], ARGV[3 + 2 * i], ARGV[4 + 2 * i]
end

local holds = {
  absent = function(key) return redis.call('EXISTS', key) == 0 end,
  equals = function(key, value) return redis.call('GET', key) == value end,
  exists = function(key) return redis.call('EXISTS', key) == 1 end,
  member = function(key, member) return redis.call('ZSCORE', key, member) ~= false end,
  below = function(key, limit) return redis.call('ZCARD', key) < tonumber(limit) end,
}

for i = 1, conditions do
  local key, kind, operand = part(i)
  if not holds[kind](key, operand) then return -i end
end

local command = {
  put = function(key, value) return {'SET', key, value} end,
  delete = function(key) return {'UNLINK', key} end,
  add = function(key, member) return {'ZADD', key, 0, member} end,
  remove = function(key, member) return {'ZREM', key, member} end,
  drop = function(key) return {'UNLINK', key} end,
  each = function(key) return {'ZCARD', key} end,
}
local index = {add = true, remove = true, drop = true, each = true}

-- refusal says why a command that is about to come would fail.
local function refusal(kind, words)
  local key = words[2]
  if kind then
    local found = redis.call('TYPE', key).ok
    if found ~= 'none' and found ~= kind then
      return 'WRONGTYPE ' .. key .. ' is a ' .. found .. ' where a ' .. kind .. ' should be'
    end
  end
  if not redis.acl_check_cmd(unpack(words)) then
    return 'NOPERM this user may not run ' .. words[1] .. ' on ' .. key
  end
end

local steps = {}
for i = conditions + 1, #KEYS - 2 do
  local key, kind, operand = part(i)
  local words = command[kind](key, operand)
  local why = refusal(index[kind] and 'zset', words)
  local member
  if kind == 'drop' then
    why = why or refusal('zset', {'ZRANGE', key, 0, 1}) or refusal(nil, {'UNLINK', operand})
  elseif kind == 'each' then
    member, operand = string.match(operand, '^([^\n]*)\n(.*)$')
    why = why or refusal('zset', {'ZRANGE', key, 0, 1}) or refusal(nil, {'ZREM', operand, member})
  end
  if why then return redis.error_reply(why) end
  steps[#steps + 1] = {kind = kind, operand = operand, member = member, words = words}
end

-- slices calls a function with the names that a prefix and the members of an index make. In slices, since a Lua call
-- takes some thousands of arguments at most.
local function slices(key, prefix, call)
  local from, size = 0, 1000
  repeat
    local members = redis.call('ZRANGE', key, from, from + size - 1)
    for i, member in ipairs(members) do members[i] = prefix .. member end
    if #members > 0 then call(members) end
    from = from + size
  until #members < size
end

-- These records and indexes are no keys that Redis was told of. While a Cluster moves the slot to
-- another node, it refuses a command on some that are gone already: better now than halfway through.
for _, step in ipairs(steps) do
  if step.kind == 'drop' then
    slices(step.words[2], step.operand, function(names) redis.call('EXISTS', unpack(names)) end)
  elseif step.kind == 'each' then
    local why
    slices(step.words[2], step.operand, function(names)
      for _, name in ipairs(names) do why = why or refusal('zset', {'ZREM', name, step.member}) end
    end)
    if why then return redis.error_reply(why) end
  end
end

-- The head has number, ID and mark of the newest entry, and each entry the mark of the one before
-- it: see changelog.go.
local seq = 0
if event ~= '' then
  local why = refusal('string', {'GET', head}) or refusal('string', {'SET', head, ''})
    or refusal('stream', {'XADD', log, 'MAXLEN', '~', keep, '*', 'seq', '0', 'event', event})
  if why then return redis.error_reply(why) end
  local last, after = '0', '0'
  local at = redis.call('GET', head)
  if at then
    last, after = string.match(at, '^(%d+) %d+%-%d+ (%x+)$')
    if not last then return redis.error_reply('ERR ' .. head .. ' is not the head of a log') end
  end
  seq = tonumber(last) + 1
  local text = string.format('%.0f', seq)
  local id = redis.call('XADD', log, 'MAXLEN', '~', keep, '*',
    'seq', text, 'mark', mark, 'after', after, 'event', event)
  redis.call('SET', head, text .. ' ' .. id .. ' ' .. mark)
end

for _, step in ipairs(steps) do
  if step.kind == 'drop' then
    slices(step.words[2], step.operand, function(names) redis.call('UNLINK', unpack(names)) end)
  elseif step.kind == 'each' then
    slices(step.words[2], step.operand, function(names)
      for _, name in ipairs(names) do redis.call('ZREM', name, step.member) end
    end)
  end
  redis.call(unpack(step.words))
end
return seq
