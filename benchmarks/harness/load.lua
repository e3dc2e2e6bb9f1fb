-- Requests to the records: `wrk ... -s load.lua URL -- KIND TOKEN`. They are built once and sent in turn.
local ROWS = 10000
local new = '{"name":"Ada Lovelace","email":"ada@example.com","city":"London","amount":1815,"active":true}'
local requests = {}
local turn = 0

local function read(suffix)
  return wrk.format("GET", "/records/" .. math.random(2, ROWS - 1) .. suffix)
end

local function create()
  return wrk.format("POST", "/records/", {["Content-Type"] = "application/json", ["Host"] = wrk.headers["Host"],
    ["Authorization"] = wrk.headers["Authorization"]}, new)
end

local kinds = {
  one = function() return read("") end,
  list = function() return wrk.format("GET", "/records/?limit=100") end,
  create = create,
  mix = function(number) return number % 10 == 0 and create() or read("") end,
  three = function() return read("/neighbours") end,
}

function init(arguments)
  if arguments[2] then wrk.headers["Authorization"] = "Bearer " .. arguments[2] end
  math.randomseed(1)
  for number = 1, 1000 do requests[number] = kinds[arguments[1]](number) end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('RESULT {"seconds": %f, "requests": %d, "refused": %d, "failed": %d, "p50": %f, "p99": %f}\n',
    summary.duration / 1e6, summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
