// Makes a configured provider of its settings, its kind and the environment: address, credentials, headers.
import { providerKinds } from '../providers/index.ts'
import type { ProviderKind } from '../providers/provider.ts'
import { type ProxyOf, parseProxy } from './egress.ts'
import { firstSet } from './env.ts'
import type { Env } from './interpolation.ts'
import { likelyName } from './nearest.ts'
import type { Report } from './problem.ts'
import type { ProviderSettings } from './schema.ts'
import type { Provider } from './snapshot.ts'

/** Headers that belong to the connection or to the call itself: set here they would break every call. */
const ownHeaders = [
  'host',
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'content-length',
  'content-type',
  'content-encoding',
  'accept-encoding',
]

/** What vendors' documentation shows of an address, and a call adds by itself: with it twice each call would be a 404. */
const ofCalls = /\/(chat\/completions|v1\/messages|models\/[^/]*:\w+)\/*$/

/**
 * What wins: the file, then the environment, then the kind. Returns undefined after telling of a fault that leaves nothing to
 * build on. A missing key is not told of here: whether it is a fault depends on who uses the provider.
 */
export function buildProvider(
  name: string,
  settings: ProviderSettings | undefined,
  { env, proxyOf, report }: Around,
): Provider | undefined {
  const path = ['providers', name]
  const kindName = settings?.kind ?? name
  const kind = providerKinds.get(kindName)
  if (!kind) {
    const meant = likelyName(kindName, providerKinds.keys())
    const hint = meant ? `did you mean "${meant}"?` : `known: ${[...providerKinds.keys()].join(', ')}`
    const at = settings?.kind === undefined ? path : [...path, 'kind']
    const what =
      settings?.kind === undefined ? `"${name}" is no known kind of provider: give it a \`kind\`` : `no such kind`
    report(at, `${what}; ${hint}`, settings?.kind === undefined ? 'key' : 'value')
    return undefined
  }
  const address = readAddress(name, kind, settings, env, report)
  const { apiKey, keyFrom } = readKey(name, kind, settings, env, report)
  const headers: Record<string, string> = { ...kind.headers }
  for (const [written, value] of Object.entries(settings?.headers ?? {})) {
    const header = written.toLowerCase()
    if (ownHeaders.includes(header))
      report([...path, 'headers', written], 'belongs to the connection: not to be set', 'key')
    else if (header === kind.keyHeader) report([...path, 'headers', written], 'use `apiKey` for the key', 'key')
    else headers[header] = value
  }
  if (apiKey !== undefined) headers[kind.keyHeader] = kind.keyHeader === 'authorization' ? `Bearer ${apiKey}` : apiKey
  if (!address) return undefined
  const apiVersion = settings?.apiVersion ?? firstSet(env, kind.apiVersionEnv ?? [])?.value
  return {
    name,
    kind,
    dialect: kind.dialects[0]!,
    ...address,
    proxy: settings?.proxy === undefined ? proxyOf(address.origin) : readProxy(name, settings.proxy, report),
    apiKey,
    keyFrom,
    apiVersion,
    headers,
    passHeaders: settings?.passHeaders ?? kind.passHeaders ?? [],
    streamUsage: settings?.streamUsage ?? kind.streamUsageFor?.({ apiVersion }) ?? kind.streamUsage,
    capName: settings?.capName,
    refusedFields: settings?.refusedFields,
    quirks: kind.quirks ?? [],
    fallback: settings?.fallback ?? true,
  }
}

/** What a provider is built of besides its own settings. */
interface Around {
  readonly env: Env
  readonly proxyOf: ProxyOf
  readonly report: Report
}

const readProxy = (name: string, written: string, report: Report): string | undefined =>
  written === 'none' ? undefined : parseProxy(written, (message) => report(['providers', name, 'proxy'], message))

/** Names of the providers that the environment alone describes, by kind. */
export function discoverProviders(env: Env): string[] {
  const found: string[] = []
  for (const kind of providerKinds.values()) {
    const key = firstSet(env, kind.keyEnv)
    const url = firstSet(env, kind.baseUrlEnv ?? [])
    if (kind.keyless ? url : key && (kind.baseUrl ?? url)) found.push(kind.name)
  }
  return found
}

/** Names of the variables that would each bring a provider into being, for telling what to set. */
export const discoverableVariables = (): string[] =>
  [...providerKinds.values()].flatMap((kind) => (kind.keyless ? kind.baseUrlEnv : kind.keyEnv)?.slice(0, 1) ?? [])

function readKey(name: string, kind: ProviderKind, settings: ProviderSettings | undefined, env: Env, report: Report) {
  if (settings?.apiKey !== undefined) return { apiKey: settings.apiKey, keyFrom: 'file' }
  const found = firstSet(env, kind.keyEnv)
  if (!found) return { apiKey: undefined, keyFrom: undefined }
  if (!/^[\x21-\x7e]{1,8192}$/.test(found.value)) {
    report(['providers', name], `${found.name} holds spaces, line breaks or non-ASCII characters: no key does`, 'key')
  }
  return { apiKey: found.value, keyFrom: found.name }
}

/**
 * The address that the vendor's SDKs would call for such a variable. Other vendors give out theirs for it: https://api.z.ai/api/anthropic. That
 * of a call stays one, which is refused.
 */
function asInSdk(url: string, { sdkPath }: ProviderKind): string {
  const trimmed = url.replace(/\/+$/, '')
  return sdkPath === undefined || /\/v\d\w*$/.test(trimmed) || ofCalls.test(trimmed) ? url : trimmed + sdkPath
}

function readAddress(
  name: string,
  kind: ProviderKind,
  settings: ProviderSettings | undefined,
  env: Env,
  report: Report,
) {
  const written = settings?.baseUrl
  const found = written === undefined ? firstSet(env, kind.baseUrlEnv ?? []) : undefined
  const text = written ?? (found ? asInSdk(found.value, kind) : kind.baseUrl)
  const tell = (message: string) => {
    if (written !== undefined) report(['providers', name, 'baseUrl'], message)
    else report(['providers', name], found ? `${found.name}: ${message}` : message, 'key')
  }
  if (text === undefined) {
    const variable = kind.baseUrlEnv?.[0]
    tell(`${kind.title} has no public address: set \`baseUrl\`${variable ? ` or ${variable}` : ''}`)
    return undefined
  }
  let url: URL
  try {
    url = new URL(kind.normalizeBaseUrl?.(text) ?? text)
  } catch {
    // The text is not repeated: it may hold a password.
    tell('not a URL: expected something like https://api.example.com/v1')
    return undefined
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') tell('a base URL starts with http:// or https://')
  else if (url.username || url.password) tell('a base URL may hold no credentials: use `apiKey` or `headers`')
  else if (url.search || url.hash) tell('a base URL may hold no query: for an API version there is `apiVersion`')
  else if (ofCalls.test(url.pathname))
    tell(`a base URL ends before \`${ofCalls.exec(url.pathname)![0]}\`, which is put behind it for each call`)
  else return { origin: url.origin, basePath: url.pathname.replace(/\/+$/, '') }
  return undefined
}
