/** A reference from one module to another, as it stands in the source. */
export interface Import {
  readonly specifier: string
  readonly line: number
  /** Nothing of it is left when the types are stripped. */
  readonly typeOnly: boolean
}

/** Comments, strings and templates as one alternation, so that a `//` inside a string is not taken for a comment. */
const commentOrString = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\[\s\S])*`/g

const isComment = (found: string) => found.startsWith('/*') || found.startsWith('//')
const blank = (text: string) => text.replace(/[^\n]/g, ' ')

/** The same text with comments blanked out; every other character keeps its place. */
export function withoutComments(text: string): string {
  return text.replace(commentOrString, (found) => (isComment(found) ? blank(found) : found))
}

/** What remains when strings are emptied as well: only code can match. Every character keeps its place. */
const codeOnly = (text: string) =>
  text.replace(commentOrString, (found) =>
    isComment(found) ? blank(found) : `${found[0]}${blank(found.slice(1, -1))}${found.at(-1)}`,
  )

const statement =
  /^[ \t]*(?:import|export)\b([^'"`;]*?)\bfrom\s*(['"])([^'"\n]+)\2|^[ \t]*import\s*(['"])([^'"\n]+)\4/gm
const call = /\bimport\s*\(\s*(['"])([^'"\n]+)\1\s*\)/g

/** All imports of a module: statements, re-exports and `import()` with a literal. */
export function readImports(text: string): readonly Import[] {
  const code = codeOnly(text)
  const lineAt = (index: number) => code.slice(0, index).split('\n').length
  /** The last string of the match, read from the text itself: in `code` it is empty. */
  const specifierOf = (match: RegExpMatchArray, from: number) => {
    const whole = text.slice(from, from + match[0].length)
    return /(['"])([^'"\n]+)\1\s*\)?$/.exec(whole)?.[2] ?? ''
  }
  const found: Import[] = []
  for (const match of code.matchAll(statement)) {
    found.push({
      specifier: specifierOf(match, match.index),
      line: lineAt(match.index),
      typeOnly: isTypeOnly(match[1]),
    })
  }
  for (const match of code.matchAll(call)) {
    // `import('x').Name` in a type is erased; a module that is really loaded is awaited or assigned.
    const after = code.slice(match.index + match[0].length)
    const typeOnly = !/\bawait\s*$/.test(code.slice(0, match.index)) && /^\s*\.\s*[A-Z]/.test(after)
    found.push({ specifier: specifierOf(match, match.index), line: lineAt(match.index), typeOnly })
  }
  return found
}

/** `import type …`, or braces in which every name says `type`. */
function isTypeOnly(clause = ''): boolean {
  if (/^\s*type\b(?!\s*,)/.test(clause)) return true
  const names = /^\s*\{([\s\S]*)\}\s*$/.exec(clause)?.[1]
  if (names === undefined) return false
  const each = names.split(',').filter((name) => name.trim() !== '')
  return each.length > 0 && each.every((name) => /^\s*type\s/.test(name))
}
