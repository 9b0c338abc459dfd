/** Where branch `b` was last pointed at another commit, as SQL: the changes up to there belong to the line that it left. */
export const LINE_SEQ = '(SELECT coalesce(max(seq), 0) FROM branch_moves WHERE branch_id = b.id)'
