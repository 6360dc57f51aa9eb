package tufupdate_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/simulation"
)

var (
	rewrite = flag.Bool("rewrite", false, "write the outcomes of histories into their files")
	judged  = flag.Bool("judged", false, "have the judge of the rules of trust judge all histories too")
)

// Each history proves the rule that it begins with (package simulation explains the language). The
// outcomes that its file gives are those that it has.
func TestHistories(t *testing.T) {
	files, err := filepath.Glob("testdata/histories/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			all, err := simulation.Parse(string(text))
			require.NoError(t, err)
			if *rewrite {
				t.Cleanup(func() { require.NoError(t, os.WriteFile(file, []byte(simulation.Format(all)), 0o644)) })
			} else {
				assert.Equal(t, string(text), simulation.Format(all), "the file is not as Format prints it")
			}
			for _, h := range all {
				t.Run(h.Rule(), func(t *testing.T) {
					t.Parallel()
					proves(t, file, h)
				})
			}
		})
	}
}

// proves runs a history in all its variants, and compares the outcomes, or puts them into it.
func proves(t *testing.T, file string, h simulation.History) {
	variants, err := h.Variants()
	require.NoError(t, err)
	if withRace && !*rewrite {
		for i := 0; i < len(variants); i += 1 + len(variants)/4 {
			lived(t, h, variants[i])
		}
		return
	}
	outcomes := make([][]string, len(h.Steps)) // by step and variant
	for _, v := range variants {
		for i, outcome := range lived(t, h, v) {
			outcomes[i] = append(outcomes[i], outcome)
		}
		if t.Failed() {
			return
		}
	}
	for i := range h.Steps {
		s := &h.Steps[i]
		if s.Verb == "each" {
			continue
		}
		got, err := h.Outcomes(variants, outcomes[i])
		require.NoError(t, err)
		if *rewrite {
			s.Outcome = got
			continue
		}
		assert.Equal(t, s.Outcome, got, "%s:%d: %s", file, s.Line, s)
	}
}

// lived runs a history in one of its variants and returns the outcomes of its steps.
func lived(t *testing.T, h simulation.History, v simulation.Variant) (outcomes []string) {
	synctest.Test(t, func(t *testing.T) {
		w := simulation.New(t)
		if *judged {
			w.Judge()
		}
		defer w.End()
		last := ""
		for _, s := range h.Steps {
			steps, err := v.Expand(s)
			require.NoError(t, err)
			var parts []string
			for _, s := range steps {
				outcome, err := w.Run(s)
				require.NoError(t, err, "line %d", s.Line)
				if outcome != "" {
					parts = append(parts, outcome)
				}
				last = s.Verb
			}
			outcomes = append(outcomes, strings.Join(parts, "; "))
		}
		if outcome, ok := w.Clients(); !ok && last != "clients" {
			assert.Fail(t, "some clients cannot go on, and the history does not end with clients", outcome)
		}
		for _, complaint := range w.Complaints() {
			assert.Fail(t, complaint, "%s: %s", v, h.Rule())
		}
		for _, complaint := range w.Found() {
			assert.Fail(t, complaint.String(), "%s: %s", v, h.Rule())
		}
	})
	return outcomes
}
