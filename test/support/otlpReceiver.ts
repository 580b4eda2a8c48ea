// An OTLP collector for tests: takes JSON over HTTP as the exporter sends it, and says what it got.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'

export interface ReceivedSpan {
  readonly name: string
  readonly kind: number
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly status: { code?: number }
  readonly attributes: Readonly<Record<string, unknown>>
}

export interface OtlpReceiver {
  readonly url: string
  readonly spans: readonly ReceivedSpan[]
  readonly headers: readonly NodeJS.Dict<string | string[]>[]
  /** What every later request is answered with. */
  status: number
  /** Resolves when so many spans are there. */
  received(count: number): Promise<readonly ReceivedSpan[]>
  close(): Promise<void>
}

interface Wire {
  resourceSpans: {
    scopeSpans: { spans: (Omit<ReceivedSpan, 'attributes'> & { attributes: { key: string; value: Value }[] })[] }[]
  }[]
}

type Value = {
  stringValue?: string
  intValue?: number | string
  doubleValue?: number
  boolValue?: boolean
  arrayValue?: { values: Value[] }
}

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = []
  const headers: NodeJS.Dict<string | string[]>[] = []
  let wake: () => void = () => {}
  const receiver = { status: 200 }
  const server = createServer(async (req, res) => {
    headers.push(req.headers)
    const body = (await json(req)) as Wire
    for (const { scopeSpans } of body.resourceSpans)
      for (const scope of scopeSpans)
        for (const span of scope.spans)
          spans.push({
            ...span,
            attributes: Object.fromEntries(span.attributes.map(({ key, value }) => [key, plain(value)])),
          })
    res.writeHead(receiver.status, { 'content-type': 'application/json' })
    res.end('{}')
    wake()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`,
    spans,
    headers,
    get status() {
      return receiver.status
    },
    set status(status) {
      receiver.status = status
    },
    async received(count) {
      while (spans.length < count)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      return spans
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function plain(value: Value): unknown {
  if (value.arrayValue) return value.arrayValue.values.map(plain)
  return value.stringValue ?? value.boolValue ?? Number(value.intValue ?? value.doubleValue)
}
