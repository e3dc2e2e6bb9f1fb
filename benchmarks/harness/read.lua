-- Reads one path: `wrk ... -s read.lua URL -- PATH TOKEN`.
function init(arguments)
  if arguments[2] then wrk.headers["Authorization"] = "Bearer " .. arguments[2] end
  wrk.path = arguments[1]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('RESULT {"seconds": %f, "requests": %d, "refused": %d, "failed": %d, "p50": %f, "p99": %f}\n',
    summary.duration / 1e6, summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
