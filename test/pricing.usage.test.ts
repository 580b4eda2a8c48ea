// Usage of every wire as disjoint classes: quirks one by one, and the laws that hold for all.

import { describe, expect, it } from 'vitest'
import { mergeRawUsage, readUsage as readAnthropic, readBilled } from '../src/dialects/anthropic-messages/usage.ts'
import { noUsage, type Usage } from '../src/dialects/chat.ts'
import { readUsage as readGemini } from '../src/dialects/gemini/usage.ts'
import { readUsage as readChat, writeUsage } from '../src/dialects/openai-chat/usage.ts'
import fc from './support/seededCheck.ts'
import { readAnyUsage, readBedrockUsage, readCohereUsage, readResponsesUsage } from './support/usageShapes.ts'

const usage = (some: Partial<Usage>): Usage => ({ ...noUsage(), ...some })
const promptOf = (u: Usage): number => u.input + u.cacheRead + u.cacheWrite5m + u.cacheWrite1h + u.audioIn
const answerOf = (u: Usage): number => u.output + u.reasoning + u.audioOut
const count = fc.integer({ min: 0, max: 5_000_000 })
const part = fc.option(count, { nil: undefined })

describe('C22 the prompt classes partition the prompt', () => {
  it('OpenAI: prompt_tokens includes cached, cache-written and audio tokens', () => {
    fc.assert(
      fc.property(count, part, part, part, part, (prompt, cached, written, hour, audio) => {
        const read = readChat({
          prompt_tokens: prompt,
          completion_tokens: 1,
          prompt_tokens_details: {
            cached_tokens: cached,
            cache_write_tokens: written,
            audio_tokens: audio,
            cache_creation_token_details: { ephemeral_1h_input_tokens: hour },
          },
        }) as Usage
        expect(promptOf(read)).toBe(prompt)
        expect(Math.min(...classesOf(read))).toBeGreaterThanOrEqual(0)
        expect(read.cacheRead).toBe(Math.min(cached ?? 0, prompt))
      }),
    )
  })

  it('OpenAI responses: input_tokens includes cached and cache-written tokens', () => {
    fc.assert(
      fc.property(count, part, part, (input, cached, written) => {
        const details = { cached_tokens: cached, cache_write_tokens: written }
        const read = readResponsesUsage({
          input_tokens: input,
          output_tokens: 2,
          input_tokens_details: details,
        }) as Usage
        expect(promptOf(read)).toBe(input)
        expect(Math.min(...classesOf(read))).toBeGreaterThanOrEqual(0)
      }),
    )
  })

  it('Anthropic: input_tokens excludes what was read from and written to the cache', () => {
    fc.assert(
      fc.property(count, count, count, count, (input, cached, fiveMinutes, oneHour) => {
        const read = readAnthropic({
          input_tokens: input,
          output_tokens: 3,
          cache_read_input_tokens: cached,
          cache_creation_input_tokens: fiveMinutes + oneHour,
          cache_creation: { ephemeral_5m_input_tokens: fiveMinutes, ephemeral_1h_input_tokens: oneHour },
        }) as Usage
        expect(read).toMatchObject({ input, cacheRead: cached, cacheWrite5m: fiveMinutes, cacheWrite1h: oneHour })
        expect(promptOf(read)).toBe(input + cached + fiveMinutes + oneHour)
      }),
    )
  })

  it('Gemini: promptTokenCount includes the cache, excludes tool use', () => {
    fc.assert(
      fc.property(count, part, part, part, part, (prompt, cached, tool, audio, cachedAudio) => {
        const read = readGemini({
          promptTokenCount: prompt,
          candidatesTokenCount: 4,
          cachedContentTokenCount: cached,
          toolUsePromptTokenCount: tool,
          promptTokensDetails: [{ modality: 'AUDIO', tokenCount: audio }],
          cacheTokensDetails: [{ modality: 'AUDIO', tokenCount: cachedAudio }],
        }) as Usage
        expect(promptOf(read)).toBe(prompt + (tool ?? 0))
        expect(Math.min(...classesOf(read))).toBeGreaterThanOrEqual(0)
        expect(read.cacheReadAudio ?? 0).toBeLessThanOrEqual(read.cacheRead)
      }),
    )
  })
})

describe('C23 text, reasoning and audio partition the output', () => {
  it('for OpenAI, with reasoning inside and (xAI) outside of completion_tokens', () => {
    fc.assert(
      fc.property(count, part, part, fc.boolean(), (completion, thought, audio, outside) => {
        const raw = {
          prompt_tokens: 10,
          completion_tokens: completion,
          total_tokens: 10 + completion + (outside ? (thought ?? 0) : 0),
          completion_tokens_details: { reasoning_tokens: thought, audio_tokens: audio },
        }
        const read = readChat(raw) as Usage
        expect(answerOf(read)).toBe(outside ? completion + (thought ?? 0) : completion)
        expect(Math.min(...classesOf(read))).toBeGreaterThanOrEqual(0)
      }),
    )
  })

  it('for Gemini, whose thoughts are counted beside the candidates', () => {
    const raw = { promptTokenCount: 8, candidatesTokenCount: 20, thoughtsTokenCount: 300, totalTokenCount: 328 }
    expect(readGemini(raw)).toEqual(usage({ input: 8, output: 20, reasoning: 300 }))
    const inclusive = { promptTokenCount: 8, candidatesTokenCount: 320, thoughtsTokenCount: 300, totalTokenCount: 328 }
    expect(readGemini(inclusive)).toEqual(usage({ input: 8, output: 20, reasoning: 300 }))
    const onlyThoughts = { promptTokenCount: 7, thoughtsTokenCount: 19, totalTokenCount: 26 }
    expect(readGemini(onlyThoughts)).toEqual(usage({ input: 7, reasoning: 19 }))
  })

  it('for Anthropic, whose output_tokens include thinking', () => {
    const raw = { input_tokens: 5, output_tokens: 90, output_tokens_details: { thinking_tokens: 60 } }
    expect(readAnthropic(raw)).toEqual(usage({ input: 5, output: 30, reasoning: 60 }))
  })

  it('for audio answers', () => {
    const raw = { prompt_tokens: 50, completion_tokens: 80, completion_tokens_details: { audio_tokens: 70 } }
    expect(readChat({ ...raw, prompt_tokens_details: { audio_tokens: 30 } })).toEqual(
      usage({ input: 20, audioIn: 30, output: 10, audioOut: 70 }),
    )
  })
})

describe('C21 a gateway chained behind itself', () => {
  it('reads back what it wrote', () => {
    const arbitrary = fc.record({
      input: count,
      cacheRead: count,
      cacheWrite5m: count,
      cacheWrite1h: count,
      output: count,
      reasoning: count,
      audioIn: count,
      audioOut: count,
      imageShare: fc.double({ min: 0, max: 1, noNaN: true }),
      audioShare: fc.double({ min: 0, max: 1, noNaN: true }),
    })
    fc.assert(
      fc.property(arbitrary, ({ imageShare, audioShare, ...classes }) => {
        const original: Usage = { ...classes }
        const imageOut = Math.floor(classes.output * imageShare)
        const cacheReadAudio = Math.floor(classes.cacheRead * audioShare)
        if (imageOut > 0) original.imageOut = imageOut
        if (cacheReadAudio > 0) original.cacheReadAudio = cacheReadAudio
        expect(readChat(JSON.parse(JSON.stringify(writeUsage(original))))).toEqual(original)
      }),
    )
  })

  it('writes totals that include every class', () => {
    const written = writeUsage(
      usage({ input: 1, cacheRead: 2, cacheWrite5m: 3, cacheWrite1h: 4, audioIn: 5, output: 6, reasoning: 7 }),
    )
    expect(written).toMatchObject({ prompt_tokens: 15, completion_tokens: 13, total_tokens: 28 })
    expect(written.prompt_tokens_details).toMatchObject({ cached_tokens: 2, cache_write_tokens: 7 })
  })
})

describe('quirks of vendors', () => {
  it('reads cached tokens where DeepSeek and Moonshot put them', () => {
    expect(readChat({ prompt_tokens: 563, completion_tokens: 1, prompt_cache_hit_tokens: 512 })).toMatchObject({
      input: 51,
      cacheRead: 512,
    })
    expect(readChat({ prompt_tokens: 100, completion_tokens: 1, cached_tokens: 40 })).toMatchObject({ cacheRead: 40 })
  })

  it('keeps the sum when a vendor reports more reasoning than completion (OpenRouter)', () => {
    const raw = {
      prompt_tokens: 43,
      completion_tokens: 10,
      total_tokens: 53,
      completion_tokens_details: { reasoning_tokens: 11 },
    }
    expect(readChat(raw)).toEqual(usage({ input: 43, reasoning: 10 }))
  })

  it('keeps null details, nonsense and absence apart', () => {
    const nulls = {
      prompt_tokens: 3,
      completion_tokens: 4,
      prompt_tokens_details: null,
      completion_tokens_details: null,
    }
    expect(readChat(nulls)).toEqual(usage({ input: 3, output: 4 }))
    expect(readChat({ prompt_tokens: 7, total_tokens: 7 })).toEqual(usage({ input: 7 }))
    for (const read of [readChat, readResponsesUsage, readAnthropic, readGemini, readBedrockUsage, readCohereUsage]) {
      for (const raw of [
        undefined,
        null,
        5,
        'x',
        [],
        {},
        { prompt_tokens: '9', input_tokens: -1, inputTokens: Number.NaN },
      ]) {
        expect(read(raw)).toBeUndefined()
      }
    }
    expect(readGemini({ trafficType: 'ON_DEMAND' })).toBeUndefined()
  })

  it('never throws and never goes negative, whatever JSON comes', () => {
    fc.assert(
      fc.property(fc.jsonValue(), count, (junk, n) => {
        const names = ['prompt_tokens', 'input_tokens', 'promptTokenCount', 'inputTokens']
        const nested = [
          'prompt_tokens_details',
          'completion_tokens_details',
          'cache_creation',
          'promptTokensDetails',
          'cacheDetails',
        ]
        const raw = Object.fromEntries([...names.map((name) => [name, n]), ...nested.map((name) => [name, junk])])
        for (const read of [readChat, readResponsesUsage, readAnthropic, readGemini, readBedrockUsage, readAnyUsage]) {
          const result = read(raw) as Usage
          expect(classesOf(result).every((value) => Number.isSafeInteger(value) && value >= 0)).toBe(true)
        }
      }),
    )
  })

  it('reads Anthropic cache writes without a breakdown as five-minute writes', () => {
    expect(readAnthropic({ input_tokens: 1, output_tokens: 1, cache_creation_input_tokens: 900 })).toMatchObject({
      cacheWrite5m: 900,
      cacheWrite1h: 0,
    })
  })

  it('lays a message_delta over a message_start', () => {
    const start = { input_tokens: 17, cache_read_input_tokens: 5, cache_creation_input_tokens: 0, output_tokens: 1 }
    expect(readAnthropic(mergeRawUsage(start, { output_tokens: 108, input_tokens: null }))).toEqual(
      usage({ input: 17, cacheRead: 5, output: 108 }),
    )
    expect(mergeRawUsage(undefined, start)).toEqual(start)
    expect(mergeRawUsage(start, null)).toBe(start)
  })

  it('keeps no more of a stream that names other things in each event, nor of a list of passes without end', () => {
    let merged: unknown
    for (let at = 0; at < 1_000; at++) merged = mergeRawUsage(merged, { output_tokens: at, [`made_up_${at}`]: at })
    expect(merged).toEqual({ output_tokens: 999 })
    const pass = { type: 'message', input_tokens: 1, output_tokens: 1 }
    const iterations = (length: number) => ({ ...pass, iterations: Array.from({ length }, () => pass) })
    expect(readBilled(iterations(256))!.passes).toHaveLength(256)
    expect(readBilled(iterations(257))).toBeUndefined()
  })

  it('goes through a list of passes once, however many events count beside it', () => {
    let reads = 0
    const pass = {
      type: 'message',
      output_tokens: 1,
      get input_tokens() {
        reads++
        return 1
      },
    }
    let merged: unknown = mergeRawUsage(undefined, { input_tokens: 2, output_tokens: 2, iterations: [pass, pass] })
    expect(readBilled(merged)).toMatchObject({ usage: { input: 2, output: 2 } })
    const before = reads
    for (let at = 0; at < 100; at++) {
      merged = mergeRawUsage(merged, { output_tokens: 2 })
      expect(readBilled(merged)!.passes).toHaveLength(2)
    }
    expect(reads).toBe(before)
  })

  it('keeps a count that something that is none is laid over', () => {
    const told = { input_tokens: 17, output_tokens: 108 }
    for (const odd of [-1, 1e300, Number.NaN, null])
      expect(readAnthropic(mergeRawUsage(told, { input_tokens: odd, output_tokens: odd })), String(odd)).toEqual(
        usage({ input: 17, output: 108 }),
      )
  })

  it('takes no prompt of zero in a message_delta for a count', () => {
    const start = { input_tokens: 17, cache_read_input_tokens: 5, cache_creation_input_tokens: 3, output_tokens: 1 }
    const nothing = { input_tokens: 0, cache_read_input_tokens: 0, cache_creation_input_tokens: 0 }
    const all = { input: 17, cacheRead: 5, cacheWrite5m: 3, output: 9 }
    expect(readAnthropic(mergeRawUsage(start, { ...nothing, output_tokens: 9 }))).toEqual(usage(all))
    expect(readAnthropic(mergeRawUsage(start, { input_tokens: 0, output_tokens: 9 }))).toEqual(usage(all))
    // Where the other parts of the prompt say where it went, that is what the zero means.
    const cached = { ...nothing, cache_read_input_tokens: 25, output_tokens: 9 }
    expect(readAnthropic(mergeRawUsage(start, cached))).toEqual(usage({ cacheRead: 25, output: 9 }))
    // Some tell the prompt at the end alone.
    expect(readAnthropic(mergeRawUsage(nothing, { input_tokens: 17, output_tokens: 9 }))).toEqual(
      usage({ input: 17, output: 9 }),
    )
    expect(readAnthropic(mergeRawUsage({ output_tokens: 1 }, { ...nothing, output_tokens: 0 }))).toEqual(usage({}))
  })

  it('lists the passes that Anthropic bills by themselves, and sums them up', () => {
    const compaction = {
      type: 'compaction',
      input_tokens: 100,
      output_tokens: 82,
      cache_creation: { ephemeral_5m_input_tokens: 55096 },
    }
    const message = { type: 'message', input_tokens: 180, output_tokens: 8 }
    const again = { type: 'message', input_tokens: 200, output_tokens: 4 }
    const advisor = { type: 'advisor_message', model: 'claude-opus-4-8', input_tokens: 2518, output_tokens: 22 }
    const raw = { input_tokens: 380, output_tokens: 12, iterations: [compaction, message, advisor, again] }
    expect(readAnthropic(raw)).toEqual(usage({ input: 380, output: 12 }))
    expect(readBilled({ ...raw, output_tokens_details: { thinking_tokens: 9 } })).toEqual({
      usage: usage({ input: 2998, cacheWrite5m: 55096, output: 107, reasoning: 9 }),
      passes: [
        { usage: usage({ input: 180, output: 8 }) },
        { usage: usage({ input: 200, output: 4 }) },
        { usage: usage({ input: 100, cacheWrite5m: 55096, output: 82 }) },
        { model: 'claude-opus-4-8', usage: usage({ input: 2518, output: 22 }) },
      ],
    })
    const searched = { ...raw, server_tool_use: { web_search_requests: 2 } }
    expect(readAnthropic(searched)).toEqual(usage({ input: 380, output: 12, webSearches: 2 }))
    const searches = readBilled(searched)!.passes.map((pass) => pass.usage.webSearches)
    expect([readBilled(searched)!.usage.webSearches, searches.filter((count) => count !== undefined)]).toEqual([2, [2]])
    // A list that leaves passes of the message out says less than its counts.
    const own = { usage: usage({ input: 380, output: 12 }) }
    for (const listed of [[compaction], [compaction, message]])
      expect(readBilled({ ...raw, iterations: listed })?.passes).toEqual([own, expect.anything()])
    for (const iterations of [undefined, null, [], [message], 'x', [null]])
      expect(readBilled({ ...raw, iterations })).toBeUndefined()
  })

  it('splits Bedrock cache writes by lifetime', () => {
    const raw = {
      inputTokens: 3,
      outputTokens: 9,
      cacheWriteInputTokens: 100,
      cacheDetails: [{ ttl: '1h', inputTokens: 60 }],
    }
    expect(readBedrockUsage(raw)).toEqual(usage({ input: 3, output: 9, cacheWrite5m: 40, cacheWrite1h: 60 }))
  })
})

function classesOf(u: Usage): number[] {
  return [u.input, u.cacheRead, u.cacheWrite5m, u.cacheWrite1h, u.output, u.reasoning, u.audioIn, u.audioOut]
}
