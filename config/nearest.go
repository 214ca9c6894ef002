package config

// longestWord is the length above which no word is looked up: such a word is
// no misspelling, and comparing costs the product of both lengths.
const longestWord = 64

// nearest is the word among candidates that needs the fewest single-byte
// insertions, deletions, substitutions and swaps of neighbours to become word,
// if these are few enough for a slip of the hand; the first of equals wins. Else
// it is the only one that begins alike.
func nearest(word string, candidates []string) (string, bool) {
	if len(word) > longestWord {
		return "", false
	}
	best, found := "", false
	most := max(1, (len(word)+1)/3)
	for _, c := range candidates {
		if len(c) > longestWord || c == word {
			continue
		}
		if d := distance(word, c); d <= most && d < max(len(c), len(word)) {
			best, found = c, true
			most = d - 1
		}
	}
	if !found {
		return begun(word, candidates)
	}
	return best, true
}

// begun is the only candidate that word is the beginning of, or that is the
// beginning of word: "warning" for "warn". Three letters are the least that say
// something.
func begun(word string, candidates []string) (string, bool) {
	only, found := "", 0
	for _, c := range candidates {
		if short := min(len(word), len(c)); short >= 3 && word[:short] == c[:short] && c != word {
			only = c
			found++
		}
	}
	return only, found == 1
}

// distance is the optimal string alignment distance (Damerau-Levenshtein
// without repeated edits of one place).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
