// Names of functions in a form that Google takes: "Invalid function name. Must start with a letter or an underscore."

/** Hub to wire. One that begins with a digit or a dash gets an underscore, and so does one that would look as if it had got it here. */
export const writeName = (name: string): string => (/^_*[^a-zA-Z_]/.test(name) ? `_${name}` : name)

/** Wire to hub. */
export const readName = (name: string): string => (/^_+[^a-zA-Z_]/.test(name) ? name.slice(1) : name)
