#!lua
-- One change: all conditions, then all steps and the log entry, or nothing.
--
-- KEYS  the log, the log's counter, then the key of each condition and of each step
-- ARGV  the event, how many log entries to keep, the number of conditions, then the kind and
--       the operand of each condition and of each step
--
-- Returns the number of the log entry, 0 without an event, or -n where condition n (counted from
-- 1) does not hold.
--
-- A script is not rolled back when a command in it fails, so whatever can fail is asked before
-- the first write. The first line makes Redis itself refuse the script as a whole, before it
-- starts, where writes are refused: out of memory, a replica, a disk that failed.
local log, counter = KEYS[1], KEYS[2]
local event, keep, conditions = ARGV[1], ARGV[2], tonumber(ARGV[3])

local function part(i)
  return KEYS[2 + i], ARGV[2 + 2 * i], ARGV[3 + 2 * i]
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
}
local index = {add = true, remove = true, drop = true}

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
  if kind == 'drop' then
    why = why or refusal('zset', {'ZRANGE', key, 0, 1}) or refusal(nil, {'UNLINK', operand})
  end
  if why then return redis.error_reply(why) end
  steps[#steps + 1] = {kind = kind, operand = operand, words = words}
end

-- The counter goes first: that it is no number is found out only by counting.
local seq = 0
if event ~= '' then
  local why = refusal('string', {'INCR', counter})
    or refusal('stream', {'XADD', log, 'MAXLEN', '~', keep, '*', 'seq', '0', 'event', event})
  if why then return redis.error_reply(why) end
  seq = redis.call('INCR', counter)
  redis.call('XADD', log, 'MAXLEN', '~', keep, '*', 'seq', string.format('%.0f', seq), 'event', event)
end

-- drop removes the records of an index. In slices, since a Lua call takes some thousands of
-- arguments at most.
local function drop(key, prefix)
  local from, slice = 0, 1000
  repeat
    local members = redis.call('ZRANGE', key, from, from + slice - 1)
    for i, member in ipairs(members) do members[i] = prefix .. member end
    if #members > 0 then redis.call('UNLINK', unpack(members)) end
    from = from + slice
  until #members < slice
end

for _, step in ipairs(steps) do
  if step.kind == 'drop' then drop(step.words[2], step.operand) end
  redis.call(unpack(step.words))
end
return seq
