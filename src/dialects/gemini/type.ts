// The parts of Gemini's generateContent wire format that are written here.

export interface Part extends Record<string, unknown> {
  text?: string
  thought?: boolean
  thoughtSignature?: string
}

export interface Content {
  role: 'user' | 'model'
  parts: Part[]
}

export interface FunctionDeclaration {
  name: string
  description?: string
  parameters?: unknown
}

export interface WireRequest {
  contents: Content[]
  systemInstruction?: { parts: Part[] }
  tools?: Record<string, unknown>[]
  toolConfig?: Record<string, unknown>
  generationConfig?: Record<string, unknown>
  safetySettings?: unknown
  cachedContent?: unknown
  labels?: unknown
  serviceTier?: string
}

/** The dialect's name, which marks thoughts and parts that only this vendor can take back. */
export const origin = 'gemini'
