package simulation

import (
	"slices"
)

// Shrink returns a shorter history that the judge complains of in the same way. complains lives a
// history; it is called at most tries times.
func Shrink(h History, tries int, complains func(History) bool) History {
	try := func(candidate History) bool {
		if tries <= 0 {
			return false
		}
		tries--
		if !complains(candidate) {
			return false
		}
		h = candidate
		return true
	}
	for smaller := true; smaller && tries > 0; {
		smaller = false
		for size := max(1, len(h.Steps)/2); size > 0; size /= 2 {
			for at := len(h.Steps) - size; at > 0; at-- { // the first step is repo
				if at+size <= len(h.Steps) && try(History{slices.Delete(slices.Clone(h.Steps), at, at+size)}) {
					smaller = true
				}
			}
		}
		for i := len(h.Steps) - 1; i >= 0; i-- { //nolint:modernize // they get fewer meanwhile
			for k := len(h.Steps[i].Words) - 1; k >= 0; k-- { //nolint:modernize // likewise
				if k < len(h.Steps[i].Words) && try(h.without(i, k)) {
					smaller = true
				}
			}
		}
	}
	return h
}

// without returns the history without a word of a step.
func (h History) without(step, word int) History {
	steps := slices.Clone(h.Steps)
	steps[step].Words = slices.Delete(slices.Clone(steps[step].Words), word, word+1)
	return History{steps}
}
