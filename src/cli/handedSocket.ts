// A listening socket that whoever started this process hands over, as systemd does (`sd_listen_fds(3)`).

/** The first descriptor that is handed over. */
const first = 3

/**
 * The descriptor of the socket, or undefined when none was handed to this process.
 * @throws Error when there are several: it could not be told which one is for requests
 */
export function handedSocket(env: Readonly<Record<string, string | undefined>>, pid: number): number | undefined {
  // Those of another process are seen by its children, too.
  if (env.LISTEN_PID !== String(pid) || env.LISTEN_FDS === undefined) return undefined
  if (env.LISTEN_FDS !== '1')
    throw new Error(`${env.LISTEN_FDS} sockets were handed over (LISTEN_FDS): Turnout takes one.`)
  return first
}
