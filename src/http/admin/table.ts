// All routes of the control plane. What is not in this table does not exist; each row says who may call it.
import { actOnAlerts, showAlerts } from './alerts.ts'
import { listAudit } from './auditTrail.ts'
import { addBlock, listBlocks, removeBlock } from './blocks.ts'
import { listBudgets } from './budgets.ts'
import { clearCache, showCacheStats } from './cache.ts'
import { listCanaries, setAllCanaries, setCanary, showCanary } from './canary.ts'
import { diffVersions, listVersions, rollBack, showConfig, showVersion, writeConfig } from './configuration.ts'
import { changeKey, createKey, deleteKey, listKeys, rotateKey, showKey } from './keys.ts'
import { listAvailable, showHealth, showModelConfig } from './models.ts'
import { describeRoutes } from './openapi.ts'
import { listRequests, showRequest } from './requests.ts'
import { showReport } from './rolloutReport.ts'
import { listRolloutRequests } from './rolloutRequests.ts'
import { streamRollouts } from './rolloutStream.ts'
import { createRollout, listEvents, listRollouts, showEvidence, showRollout } from './rollouts.ts'
import { rolloutVerbs } from './rolloutVerbs.ts'
import type { AdminRoute } from './route.ts'
import { spend } from './spend.ts'
import { disableTarget, enableTarget, resetTarget } from './targets.ts'
import { listTraces, showTrace } from './traces.ts'
import { reload, setPrimary, switchBypass } from './traffic.ts'
import { eraseUser, eraseUserQuietly, exportUser } from './users.ts'

export const adminRoutes: readonly AdminRoute[] = [
  showModelConfig,
  listAvailable,
  showHealth,
  setPrimary,
  reload,
  switchBypass,
  listCanaries,
  setAllCanaries,
  showCanary,
  setCanary,
  listRollouts,
  createRollout,
  streamRollouts,
  showRollout,
  showEvidence,
  listEvents,
  listRolloutRequests,
  showReport,
  ...rolloutVerbs,
  disableTarget,
  enableTarget,
  resetTarget,
  showCacheStats,
  clearCache,
  showConfig,
  writeConfig,
  listVersions,
  showVersion,
  diffVersions,
  rollBack,
  spend,
  listBudgets,
  listRequests,
  showRequest,
  listTraces,
  showTrace,
  exportUser,
  eraseUser,
  eraseUserQuietly,
  listKeys,
  createKey,
  showKey,
  changeKey,
  rotateKey,
  deleteKey,
  showAlerts,
  actOnAlerts,
  listBlocks,
  addBlock,
  removeBlock,
  listAudit,
  describeRoutes(() => adminRoutes),
]
