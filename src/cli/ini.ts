/** The little of the INI format that the files in ~/.aws use. */

interface Section {
  readonly name: string
  readonly values: ReadonlyMap<string, string>
}

export function readIni(text: string): readonly Section[] {
  const sections: { name: string; values: Map<string, string> }[] = []
  for (const line of text.split(/\r?\n/)) {
    const header = /^\s*\[([^\]]*)\]/.exec(line)
    if (header) {
      sections.push({ name: header[1]!.trim(), values: new Map() })
      continue
    }
    // An indented line belongs to a nested value (`s3 =`), a `#` or `;` begins a comment.
    const pair = /^([^\s#;=][^=]*)=(.*)$/.exec(line)
    if (pair) sections.at(-1)?.values.set(pair[1]!.trim().toLowerCase(), pair[2]!.trim())
  }
  return sections
}

export function findSection(sections: readonly Section[], name: string): ReadonlyMap<string, string> | undefined {
  return sections.find((section) => section.name === name)?.values
}

/** The text with these values set in the section, all else in it left as it was; the section is added where it is missing. */
export function setInSection(text: string, section: string, values: Readonly<Record<string, string>>): string {
  const lines = text.split(/\r?\n/)
  const isHeader = (line: string) => /^\s*\[/.test(line)
  const header = lines.findIndex((line) => /^\s*\[([^\]]*)\]/.exec(line)?.[1]?.trim() === section)
  const pairs = Object.entries(values).map(([name, value]) => `${name} = ${value}`)
  if (header < 0) {
    const before = text === '' || text.endsWith('\n') ? text : `${text}\n`
    return `${before}${before === '' ? '' : '\n'}[${section}]\n${pairs.join('\n')}\n`
  }
  const next = lines.findIndex((line, index) => index > header && isHeader(line))
  const end = next < 0 ? lines.length : next
  const kept = lines.slice(header + 1, end).filter((line) => {
    const name = /^([^\s#;=][^=]*)=/.exec(line)?.[1]?.trim().toLowerCase()
    return name === undefined || !Object.hasOwn(values, name)
  })
  const result = [...lines.slice(0, header + 1), ...pairs, ...kept, ...lines.slice(end)].join('\n')
  return result.endsWith('\n') ? result : `${result}\n`
}
