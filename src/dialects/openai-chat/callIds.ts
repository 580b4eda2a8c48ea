// Gives each tool call of a history an id of its own, and each answer that of its call: clients and servers use one twice.

/**
 * Some servers count calls anew in each turn (`call_0`, `functions.search:0`), others give empty ids. OpenAI-shaped servers read such a
 * history by its order; Anthropic refuses it, and by the ids alone an answer would go to Google under another function's name.
 */
export class CallIds {
  readonly #taken = new Set<string>()
  /** By the id as the client wrote it: the calls without an answer, in their order. */
  readonly #open = new Map<string, string[]>()
  readonly #last = new Map<string, string>()
  /** The number that the next call of an id gets: trying all from the first takes too long where there are thousands. */
  readonly #next = new Map<string, number>()

  /** The next message that calls something: what was not answered before it is answered no more. */
  turn(): void {
    this.#open.clear()
  }

  /** The id of a call that is written `id`: the same, unless it is empty or an earlier call has it. */
  call(id: string): string {
    const own = id === '' ? this.#numbered('call', 1) : this.#taken.has(id) ? this.#numbered(id, 2) : id
    this.#taken.add(own)
    const open = this.#open.get(id)
    if (open) open.push(own)
    else this.#open.set(id, [own])
    this.#last.set(id, own)
    return own
  }

  /** The call that an answer to `id` is for: the first that has none, else the last of them; the id itself where there is no such call. */
  answer(id: string): string {
    return this.#open.get(id)?.shift() ?? this.#last.get(id) ?? id
  }

  #numbered(base: string, first: number): string {
    let n = this.#next.get(base) ?? first
    while (this.#taken.has(`${base}_${n}`)) n++
    this.#next.set(base, n + 1)
    return `${base}_${n}`
  }
}
