/** A version as the model knows it; `body` is null for a delete marker. */
export interface Kept {
  readonly id: string
  readonly seq: number
  readonly body: string | null
}

/** S3's versions of one bucket as AWS describes them, and what restoring adds: a tree becomes current again. */
export class Model {
  readonly versions = new Map<string, Kept[]>()
  readonly view = new Map<string, Kept>()
  readonly hidden = new Map<string, number>()
  seq = 0
  /** Whether the open batch holds any change. */
  isOpen = false
  /** Undefined: not enabled. */
  enabledAt: number | undefined = 0
  nulls: ReadonlyMap<string, Kept> | undefined
  /** What was inherited from the commit that it was made from is older than everything of its own. */
  readonly inherited = new Set<string>()
  /** Deleted on this branch, whatever line it followed then. */
  readonly hiddenHere = new Set<string>()

  write(path: string, id: string, body: string | null): void {
    const kept = { id, seq: ++this.seq, body }
    this.isOpen = true
    this.versions.set(path, [...(this.versions.get(path) ?? []), kept])
    if (body === null) this.view.delete(path)
    else this.view.set(path, kept)
  }

  /** Of the versions that have ids, the newest first. */
  listed(path: string): readonly Kept[] {
    const from = this.enabledAt
    if (from === undefined) return []
    const shown = (kept: Kept) =>
      !this.hidden.has(kept.id) && (this.nulls === undefined || (kept.seq > from && !this.inherited.has(kept.id)))
    return (this.versions.get(path) ?? []).filter(shown).toReversed()
  }

  isNull(kept: Kept): boolean {
    if (this.enabledAt === undefined) return true
    return this.nulls !== undefined && (kept.seq <= this.enabledAt || this.inherited.has(kept.id))
  }

  latest(path: string): Kept | undefined {
    const current = this.view.get(path)
    if (current) return current
    const newest = this.listed(path)[0]
    return newest?.body === null ? newest : undefined
  }

  nullOf(path: string): Kept | undefined {
    const current = this.view.get(path)
    if (current && this.isNull(current)) return current
    const old = this.nulls?.get(path)
    return old && !this.hidden.has(old.id) ? old : undefined
  }

  all(path: string): { name: string; latest: boolean; body: string | null }[] {
    const latest = this.latest(path)
    const shown: Kept[] = latest ? [latest] : []
    for (const kept of this.listed(path)) if (kept.id !== latest?.id) shown.push(kept)
    const old = this.nullOf(path)
    if (old && old.id !== latest?.id && !(latest && latest.body !== null && this.isNull(latest))) shown.push(old)
    return shown.map((kept) => ({
      name: kept.body !== null && this.isNull(kept) ? 'null' : kept.id,
      latest: kept === latest || kept.id === latest?.id,
      body: kept.body,
    }))
  }

  /** Of one request: all are gone before it is decided what comes back. */
  deleteVersions(path: string, names: readonly string[]): void {
    if (this.enabledAt === undefined) {
      if (names.includes('null') && this.view.has(path)) this.write(path, `gone ${this.seq}`, null)
      return
    }
    const latest = this.latest(path)
    const found = names.flatMap((name) => this.find(path, name) ?? [])
    for (const { id } of found) {
      // The open batch will end without it, and what is sealed has it still.
      if (!this.hidden.has(id)) this.hidden.set(id, this.isOpen ? this.seq : this.seq + 1)
      this.hiddenHere.add(id)
    }
    if (!found.some(({ id }) => id === latest?.id)) return
    this.seq++
    this.isOpen = true
    const old = this.nulls?.get(path)
    const back = this.listed(path)[0] ?? (old && !this.hidden.has(old.id) ? old : undefined)
    if (back && back.body !== null) this.view.set(path, back)
    else this.view.delete(path)
  }

  find(path: string, name: string): Kept | undefined {
    if (name === 'null') return this.nullOf(path)
    const current = this.view.get(path)
    if (current?.id === name && !this.isNull(current)) return current
    return this.listed(path).find(({ id }) => id === name)
  }

  /** A restore, merge or move: what it brings that was not here before is a version from here on. */
  land(view: ReadonlyMap<string, Kept>): void {
    this.seq++
    this.isOpen = false
    this.view.clear()
    for (const [path, kept] of view) {
      this.view.set(path, kept)
      const known = this.versions.get(path) ?? []
      if (known.some(({ id }) => id === kept.id)) continue
      this.versions.set(path, [...known, kept])
      // Where versioning was enabled later, what comes from elsewhere has no id.
      if (this.enabledAt !== 0) this.inherited.add(kept.id)
    }
  }

  /** The branch is pointed at another commit: it goes on as that had been. */
  follow(commit: Model): void {
    const { versions, view, hidden } = commit.frozen()
    this.versions.clear()
    for (const [path, kept] of versions) this.versions.set(path, kept)
    this.view.clear()
    for (const [path, kept] of view) this.view.set(path, kept)
    this.hidden.clear()
    for (const id of hidden.keys()) this.hidden.set(id, 0)
    for (const id of this.hiddenHere) this.hidden.set(id, 0)
    this.seq++
  }

  enable(): void {
    if (this.enabledAt !== undefined) return
    this.enabledAt = this.seq
    this.isOpen = false
    if (this.seq > 0 || this.inherited.size > 0) this.nulls = new Map(this.view)
  }

  /** As a commit that ends now shows it. */
  frozen(): Model {
    const copy = new Model()
    for (const [path, kept] of this.versions) copy.versions.set(path, [...kept])
    for (const [path, kept] of this.view) copy.view.set(path, kept)
    for (const [id, at] of this.hidden) if (at <= this.seq) copy.hidden.set(id, at)
    copy.seq = this.seq
    return copy
  }

  static branchOf(commit: Model, enabled: boolean): Model {
    const branch = commit.frozen()
    for (const kept of branch.versions.values()) for (const { id } of kept) branch.inherited.add(id)
    for (const id of branch.hidden.keys()) branch.hidden.set(id, 0)
    branch.seq = 0
    if (!enabled) branch.enabledAt = undefined
    return branch
  }
}
