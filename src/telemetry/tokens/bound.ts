// Upper bounds of token counts from byte counts alone: what a budget may reserve before anything was counted.

/**
 * More tokens than a text-only request body of `bytes` bytes can have, whatever the tokenizer.
 *
 * Why it holds: tokenizers in use are byte-level BPE or SentencePiece with byte fallback. Each token stands for at least one byte of
 * UTF-8, so tokens of a text ≤ its bytes. A body holds that text as JSON: an escape (`\n`, `\u00e9`) is never shorter than the bytes it
 * stands for. What the vendor adds around each message (3 or 4 tokens; priming) is paid for by the JSON around it: the shortest message,
 * `{"role":"user","content":""}`, is 28 bytes.
 * Tools add a hidden system prompt that no byte of the body pays for (Anthropic documents 313–806 tokens by model and tool choice):
 * say `tools: true` and 1,024 are added.
 *
 * What it does not cover, and the caller must bound by modality: images, audio and files by URL or id (few bytes, many tokens; their
 * base64 must not be counted as text either), server-side state (previous responses, cached content), tokenizers that normalise
 * text by compatibility (NFKC), which can lengthen rare characters.
 */
export function upperBoundPromptTokens(bytes: number, more: { tools?: boolean } = {}): number {
  return Math.max(0, Math.ceil(bytes)) + (more.tools ? 1_024 : 0)
}
