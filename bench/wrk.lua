-- The load of make bench: sends the requests of a file one after the other, on all connections, and counts the answers by
-- status. The file's requests end with a zero byte each. Arguments: the file, and with which of them to begin.

local threads = {}
local requests = {}
local at = 0
statuses = {} -- global, so that done can get it

function setup(thread)
	threads[#threads + 1] = thread
end

function init(arguments)
	local file = assert(io.open(arguments[1], "rb"))
	for request in file:read("*a"):gmatch("(%Z+)%z") do
		requests[#requests + 1] = request
	end
	file:close()
	at = tonumber(arguments[2]) % #requests
end

function request()
	at = at + 1
	if at > #requests then
		at = 1
	end
	return requests[at]
end

function response(status)
	statuses[status] = (statuses[status] or 0) + 1
end

function done(summary)
	local counts = {}
	for _, thread in ipairs(threads) do
		for status, count in pairs(thread:get("statuses")) do
			counts[#counts + 1] = string.format("%d=%d", status, count)
		end
	end
	local errors = summary.errors
	io.write(string.format("bench %d requests %d us %d failed statuses %s\n", summary.requests, summary.duration,
		errors.connect + errors.read + errors.write + errors.timeout, table.concat(counts, ",")))
end
