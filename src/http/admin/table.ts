// All routes of the control plane. What is not in this table does not exist; each row says who may call it.
import { changeKey, createKey, deleteKey, listKeys, rotateKey, showKey } from './keys.ts'
import { listRequests, showRequest } from './requests.ts'
import type { AdminRoute } from './route.ts'
import { spend } from './spend.ts'
import { eraseUser, eraseUserQuietly, exportUser } from './users.ts'

export const adminRoutes: readonly AdminRoute[] = [
  spend,
  listRequests,
  showRequest,
  exportUser,
  eraseUser,
  eraseUserQuietly,
  listKeys,
  createKey,
  showKey,
  changeKey,
  rotateKey,
  deleteKey,
]
