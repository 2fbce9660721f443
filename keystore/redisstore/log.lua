#!lua flags=no-writes
-- Entries of the log with a number greater than a given one, oldest first.
--
-- KEYS  the log
-- ARGV  the number, how many entries at most
--
-- Returns number and event of each, in turns.
--
-- The stream is in order of its IDs, which begin with the time, and the numbers rise with them.
-- So the beginning is found by halving the time between the first entry and the last one, some
-- 40 steps at most, and not by reading from either end.
local log, after, limit = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])

local function number(entry)
  local fields = entry[2]
  for i = 1, #fields, 2 do
    if fields[i] == 'seq' then return tonumber(fields[i + 1]), fields[i + 1] end
  end
  return 0, '0'
end

local function event(entry)
  local fields = entry[2]
  for i = 1, #fields, 2 do
    if fields[i] == 'event' then return fields[i + 1] end
  end
  return ''
end

local function time(entry) return tonumber(string.match(entry[1], '^%d+')) end

-- at is the first entry of a millisecond, or after it.
local function at(ms)
  return redis.call('XRANGE', log, string.format('%.0f-0', ms), '+', 'COUNT', 1)[1]
end

local head = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
if not head then return {} end
local tail = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
if number(tail) <= after then return {} end

local start = '-'
if number(head) <= after then
  local low, high = time(head), time(tail)
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if number(at(middle)) <= after then low = middle else high = middle - 1 end
  end
  start = at(low)[1]
end

-- Entries of the same millisecond may come before the wanted ones.
local found, slice = {}, math.min(limit + 10, 1000)
while #found < 2 * limit do
  local entries = redis.call('XRANGE', log, start, '+', 'COUNT', slice)
  for _, entry in ipairs(entries) do
    local n, text = number(entry)
    if n > after and #found < 2 * limit then
      found[#found + 1] = text
      found[#found + 1] = event(entry)
    end
  end
  if #entries < slice then break end
  start = '(' .. entries[#entries][1]
end
return found
