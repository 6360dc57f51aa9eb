package simulation

import (
	"fmt"
	"strconv"
	"strings"
)

// A History is a sequence of steps that proves a rule.
type History struct {
	Steps []Step
}

// A Step is one line of a history.
type Step struct {
	Above   []string // comments and blank lines above it, as they are
	Verb    string
	Words   []string
	Outcome []string // lines; of each, the values
	Line    int      // its number in the file, from 1; not part of the text
}

const (
	arrow  = " -> "
	indent = "    "
	width  = 100 // columns of a line up to which an outcome stands behind its step

	separator = "---" // between two histories
)

// Rule returns the comment that a history begins with, as one line.
func (h History) Rule() string {
	var rule []string
	if len(h.Steps) > 0 {
		for _, line := range h.Steps[0].Above {
			if text, ok := strings.CutPrefix(line, "#"); ok {
				rule = append(rule, strings.TrimSpace(text))
			}
		}
	}
	return strings.Join(rule, " ")
}

// Parse reads a file of histories. The error names the line.
func Parse(text string) ([]History, error) {
	all := []History{{}}
	var above []string
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, line := range lines {
		h := &all[len(all)-1]
		switch {
		case line == separator:
			if len(above) > 0 || len(h.Steps) == 0 {
				return nil, fmt.Errorf("line %d: a history ends without a step", i+1)
			}
			all = append(all, History{})
		case line == "" || strings.HasPrefix(line, "#"):
			above = append(above, line)
		case strings.HasPrefix(line, indent):
			if len(h.Steps) == 0 || len(above) > 0 {
				return nil, fmt.Errorf("line %d: an outcome without a step", i+1)
			}
			last := &h.Steps[len(h.Steps)-1]
			last.Outcome = append(last.Outcome, strings.TrimPrefix(line, indent))
		default:
			step, err := parseStep(line)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			step.Above, step.Line = above, i+1
			above = nil
			h.Steps = append(h.Steps, step)
		}
	}
	if len(above) > 0 {
		return nil, fmt.Errorf("line %d: a comment without a step", len(lines))
	}
	for _, h := range all {
		if h.Rule() == "" {
			return nil, fmt.Errorf("a history begins without a comment that states its rule")
		}
	}
	return all, nil
}

// parseStep reads one line.
func parseStep(line string) (Step, error) {
	words, rest, err := split(line)
	if err != nil {
		return Step{}, err
	}
	if len(words) == 0 {
		return Step{}, fmt.Errorf("no verb in %q", line)
	}
	s := Step{Verb: words[0], Words: words[1:]}
	if rest != "" {
		s.Outcome = []string{rest}
	}
	return s, nil
}

// split returns the words of a line, and the text behind the arrow.
func split(line string) (words []string, behind string, err error) {
	for line != "" {
		if text, ok := strings.CutPrefix(" "+line, arrow); ok {
			return words, text, nil
		}
		var word string
		if line[0] == '"' {
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, "", fmt.Errorf("a quoted word in %q: %w", line, err)
			}
			if word, err = strconv.Unquote(quoted); err != nil {
				return nil, "", err
			}
			line = line[len(quoted):]
			if line != "" && line[0] != ' ' {
				return nil, "", fmt.Errorf("no blank behind a quoted word: %q", line)
			}
		} else {
			word, _, _ = strings.Cut(line, " ")
			line = line[len(word):]
		}
		words = append(words, word)
		line = strings.TrimPrefix(line, " ")
	}
	return words, "", nil
}

// Format prints histories as Parse reads them.
func Format(all []History) string {
	var b strings.Builder
	for i, h := range all {
		if i > 0 {
			b.WriteString(separator + "\n")
		}
		for _, s := range h.Steps {
			s.format(&b)
		}
	}
	return b.String()
}

func (s Step) format(b *strings.Builder) {
	for _, line := range s.Above {
		b.WriteString(line + "\n")
	}
	line := s.String()
	if s.Verb != verbEach && len(s.Outcome) == 1 && len([]rune(line+arrow+s.Outcome[0])) <= width {
		b.WriteString(line + arrow + s.Outcome[0] + "\n")
		return
	}
	b.WriteString(line + "\n")
	for _, outcome := range s.Outcome {
		b.WriteString(indent + outcome + "\n")
	}
}

// String returns the step without its outcome.
func (s Step) String() string {
	words := []string{quote(s.Verb)}
	for _, word := range s.Words {
		words = append(words, quote(word))
	}
	return strings.Join(words, " ")
}

// quote returns a word as it stands in a line.
func quote(word string) string {
	if word == "" || word == "->" || strings.ContainsAny(word, " \"\t\n") {
		return strconv.Quote(word)
	}
	return word
}
