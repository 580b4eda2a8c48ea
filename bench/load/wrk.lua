-- Checks every reply's status and bytes and prints the sums as one line of JSON.
local threads = {}

local function read(name)
  local file = assert(io.open(os.getenv(name), 'rb'))
  local text = file:read('*a')
  file:close()
  return text
end

function setup(thread)
  table.insert(threads, thread)
end

-- The id and the time of a translated reply, and the id of a cached one, are the gateway's and differ from one to the next; everything else must not.
local function steady(body)
  local text = body:gsub('"id":"[^"]*"', '"id":""'):gsub('"created":%d+', '"created":0')
  return text
end

function init()
  wrong = 0
  varies = os.getenv('VARIES') == '1'
  expected = read('REPLY_FILE')
  if varies then expected = steady(expected) end
  wrk.method = 'POST'
  wrk.body = read('BODY_FILE')
  for line in os.getenv('HEADERS'):gmatch('[^\n]+') do
    local name, value = line:match('^([^:]+): (.*)$')
    wrk.headers[name] = value
  end
  local text = wrk.format()
  request = function() return text end
end

function response(status, headers, body)
  if varies then body = steady(body) end
  if status ~= 200 or body ~= expected then wrong = wrong + 1 end
end

function done(summary)
  local all = 0
  for _, thread in ipairs(threads) do all = all + thread:get('wrong') end
  local errors = summary.errors
  io.write(string.format(
    '\nresult {"completed":%d,"micros":%d,"bytes":%d,"wrong":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}\n',
    summary.requests, summary.duration, summary.bytes, all, errors.connect, errors.read, errors.write, errors.timeout))
end
