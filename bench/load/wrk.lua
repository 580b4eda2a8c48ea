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

-- Right and wrong replies so far, as two numbers in a file that the bench reads at any time; in memory where there is no such file.
local ffi = require('ffi')
ffi.cdef [[
  int open(const char *path, int flags);
  void *mmap(void *address, size_t length, int protection, int flags, int file, long offset);
]]

local function openCounts(name)
  if name == nil or name == '' then return ffi.new('uint32_t[2]') end
  local readWrite, readOrWrite, shared = 2, 3, 1
  local file = ffi.C.open(name, readWrite)
  assert(file >= 0, 'no file for the counts')
  local page = ffi.C.mmap(nil, 8, readOrWrite, shared, file, 0)
  assert(page ~= ffi.cast('void *', -1), 'no memory for the counts')
  return ffi.cast('uint32_t *', page)
end

-- The id and the time of a translated reply, and the id of a cached one, are the gateway's and differ from one to the next; everything else must not.
local function steady(body)
  local text = body:gsub('"id":"[^"]*"', '"id":""'):gsub('"created":%d+', '"created":0')
  return text
end

function init()
  wrong = 0
  counts = openCounts(os.getenv('COUNT_FILE'))
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
  if status == 200 and body == expected then
    counts[0] = counts[0] + 1
  else
    wrong = wrong + 1
    counts[1] = counts[1] + 1
  end
end

function done(summary)
  local all = 0
  for _, thread in ipairs(threads) do all = all + thread:get('wrong') end
  local errors = summary.errors
  io.write(string.format(
    '\nresult {"completed":%d,"micros":%d,"bytes":%d,"wrong":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}\n',
    summary.requests, summary.duration, summary.bytes, all, errors.connect, errors.read, errors.write, errors.timeout))
end
