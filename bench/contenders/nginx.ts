// nginx configurations as text: the upstream of the small JSON work, and the plain relay that shows what C does.
import { makeContent, makeMessage } from '../vendorWire.ts'
import { makeReply, vendorHeaders } from '../wire.ts'
import { jsonLanes, type Lane, lanes } from '../work.ts'

/** What nginx answers as an upstream: the small bodies, which a parameter of its configuration can hold. */
const answers: Partial<Record<Lane, Buffer>> = {
  small: makeReply(820),
  cached: makeReply(820),
  claude: makeMessage(820),
  gemini: makeContent(820),
}

/** The lanes whose upstream is nginx, where it is installed. */
export const nginxLanes = Object.keys(answers) as Lane[]

const frame = (http: string, folder: string): string => `
daemon off;
master_process off;
worker_rlimit_nofile 16384;
pid ${folder}/nginx.pid;
error_log ${folder}/nginx-error.txt crit;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path ${folder}/nginx-body;
  proxy_temp_path ${folder}/nginx-proxy;
  fastcgi_temp_path ${folder}/nginx-fastcgi;
  uwsgi_temp_path ${folder}/nginx-uwsgi;
  scgi_temp_path ${folder}/nginx-scgi;
  client_max_body_size 0;
  client_body_buffer_size 1m;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
${http}
}
`

/** Quoted for nginx; a parameter has at most 4096 bytes, so longer texts are joined from variables. */
const quote = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

/** Answers each lane with its small reply. It does not wait for a body's end, so it only serves bodies of one packet. */
export const writeUpstreamConfig = (port: number, folder: string): string => {
  const headers = Object.entries(vendorHeaders).map(([name, value]) => `add_header ${name} ${quote(value)};`)
  const locations = Object.entries(answers).map(
    ([lane, body]) => `    location /${lane}/ {
      default_type application/json;
      ${headers.join('\n      ')}
      return 200 ${quote(body.toString())};
    }`,
  )
  return frame(
    `  server {
    listen 127.0.0.1:${port} backlog=4096;
${locations.join('\n')}
  }`,
    folder,
  )
}

/** Relays each lane to its upstream over kept connections, streams unbuffered. */
export const writeRelayConfig = (port: number, folder: string, upstreams: Readonly<Record<Lane, string>>): string => {
  const servers = new Map(lanes.map((lane) => [upstreams[lane], `up_${new URL(upstreams[lane]).port}`]))
  const blocks = [...servers].map(([origin, name]) => {
    return `  upstream ${name} { server ${new URL(origin).host}; keepalive 2048; keepalive_requests 1000000000; keepalive_timeout 600s; }`
  })
  const locations = lanes.map((lane) => {
    const buffering = jsonLanes.includes(lane) ? 'on' : 'off'
    return `    location /${lane}/ { proxy_pass http://${servers.get(upstreams[lane])}; proxy_buffering ${buffering}; }`
  })
  return frame(
    `${blocks.join('\n')}
  server {
    listen 127.0.0.1:${port} backlog=4096;
    proxy_http_version 1.1;
    proxy_set_header connection '';
    proxy_buffer_size 64k;
    proxy_buffers 8 64k;
    proxy_busy_buffers_size 128k;
${locations.join('\n')}
  }`,
    folder,
  )
}
