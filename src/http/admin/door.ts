// The door to the control plane: knows its paths, and loads it beside the first requests, so that the gateway answers sooner.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AdminDeps } from './route.ts'

/** The same router stands under both: runbooks of older systems use the second. */
export const adminPaths = ['/admin', '/api/v1/admin'] as const

/** Whether a path (without its query) belongs to the control plane. */
export function isAdminPath(path: string): boolean {
  return adminPaths.some((start) => path === start || path.startsWith(`${start}/`))
}

export interface AdminDoor {
  readonly listener: (req: IncomingMessage, res: ServerResponse) => void
  /** Loads what stands behind it. Without this the first request does, and others wait for the 60 ms that it takes. */
  load(): Promise<unknown>
}

export function openAdminDoor(deps: AdminDeps): AdminDoor {
  type Listener = AdminDoor['listener']
  let admin: Promise<Listener> | undefined
  const load = (): Promise<Listener> => {
    admin ??= import('./index.ts').then(({ createAdmin }) => createAdmin(deps))
    return admin
  }
  return { listener: (req, res) => void load().then((listener) => listener(req, res)), load }
}
