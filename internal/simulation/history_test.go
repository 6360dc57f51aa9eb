package simulation_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tufonline/tufonline/internal/simulation"
)

func TestWhatIsNoHistoryIsRefusedWithItsLine(t *testing.T) {
	for text, problem := range map[string]string{
		"":                            "line 1: a comment without a step",
		"repo\n":                      "without a comment",
		"# rule\n":                    "line 1: a comment without a step",
		"    outcome\n":               "line 1: an outcome without a step",
		"# rule\nrepo\n---\n":         "without a comment",
		"# rule\nrepo \"a\n":          "line 2: a quoted word",
		"# rule\nrepo \"a\"b\n":       "line 2: no blank behind a quoted word",
		"# rule\nrepo\n# more\n---\n": "line 4: a history ends without a step",
	} {
		_, err := simulation.Parse(text)
		assert.ErrorContains(t, err, problem, text)
	}
}

func TestFormatPrintsWhatParseReads(t *testing.T) {
	const text = "# A rule\n# of two lines.\neach x\n    one\nrepo \"delegate=team a:a/*\" \"->\" -> refused a -> b\n" +
		"roll\n    one outcome\n    and another\n---\n# Another.\n\nrepo\n"
	all, err := simulation.Parse(text)
	require.NoError(t, err)
	assert.Equal(t, text, simulation.Format(all))
	assert.Equal(t, "A rule of two lines.", all[0].Rule())
	assert.Equal(t, []string{"delegate=team a:a/*", "->"}, all[0].Steps[1].Words)
}

// Outcomes that are the same for all variants are one line, and others say for which they are.
func TestOutcomesNameTheVariantsThatTheyAreOf(t *testing.T) {
	all, err := simulation.Parse("# Rule.\neach role a | b | c\neach layout x | y\nrepo\n")
	require.NoError(t, err)
	variants, err := all[0].Variants()
	require.NoError(t, err)
	for want, outcomes := range map[string][]string{
		"one":                      {"one", "one", "one", "one", "one", "one"},
		"":                         {"", "", "", "", "", ""},
		"a: one/b | c: two":        {"one", "one", "two", "two", "two", "two"},
		"x: one/y: two":            {"one", "two", "one", "two", "one", "two"},
		"a, x: one/else: nothing":  {"one", "", "", "", "", ""},
		"a, x | b, y: 1/else: two": {"1", "two", "two", "1", "two", "two"},
	} {
		lines, err := all[0].Outcomes(variants, outcomes)
		require.NoError(t, err)
		got := ""
		for i, line := range lines {
			if i > 0 {
				got += "/"
			}
			got += line
		}
		assert.Equal(t, want, got)
	}
}
