// Characters that tell a terminal what to do instead of being shown.

/**
 * Control characters (Unicode's category Cc: cursor moves, colours, line breaks) and explicit bidirectional formatting (UAX #9: embeddings,
 * overrides, isolates), which shows the rest of a line, sums of money included, in another order than it was written.
 */
export const terminalControls = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu
