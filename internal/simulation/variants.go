package simulation

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const verbEach = "each"

// A Variant is one way to run a history: a value for each of its each steps.
type Variant struct {
	labels []string          // one for each of the dimensions
	values map[string]string // by name
}

// String returns the labels.
func (v Variant) String() string { return strings.Join(v.labels, ", ") }

// A dimension is what an each step says.
type dimension struct {
	name   string
	labels []string
	values []string
}

// dimension reads an each step.
func (s Step) dimension() (dimension, error) {
	if len(s.Words) == 0 {
		return dimension{}, fmt.Errorf("each: no name")
	}
	d := dimension{name: s.Words[0]}
	for _, line := range s.Outcome {
		label, value, ok := strings.Cut(line+" ", ": ")
		if value = strings.TrimSpace(value); !ok {
			label, value = line, line
		}
		d.labels, d.values = append(d.labels, label), append(d.values, value)
	}
	var words []string
	for _, word := range append(s.Words[1:], "|") {
		if word != "|" {
			words = append(words, quote(word))
			continue
		}
		if len(words) > 0 {
			value := strings.Join(words, " ")
			d.labels, d.values = append(d.labels, value), append(d.values, value)
		}
		words = nil
	}
	if len(d.values) == 0 {
		return d, fmt.Errorf("each %s: no values", d.name)
	}
	return d, nil
}

func (h History) dimensions() (all []dimension, err error) {
	for _, s := range h.Steps {
		if s.Verb == verbEach {
			d, err := s.dimension()
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", s.Line, err)
			}
			all = append(all, d)
		}
	}
	return all, nil
}

// Variants returns all ways to run a history, at least one.
func (h History) Variants() ([]Variant, error) {
	dimensions, err := h.dimensions()
	if err != nil {
		return nil, err
	}
	all := []Variant{{values: map[string]string{}}}
	for _, d := range dimensions {
		var next []Variant
		for _, v := range all {
			for i, label := range d.labels {
				values := maps.Clone(v.values)
				values[d.name] = d.values[i]
				next = append(next, Variant{append(slices.Clone(v.labels), label), values})
			}
		}
		all = next
	}
	return all, nil
}

// Expand returns the steps that stand for a step in a variant: none for each.
func (v Variant) Expand(s Step) ([]Step, error) {
	if s.Verb == verbEach {
		return nil, nil
	}
	line := s.String()
	if value, ok := v.values[strings.TrimPrefix(s.Verb, "$")]; ok && s.Verb[0] == '$' {
		line = value + strings.TrimPrefix(line, s.Verb)
	}
	var steps []Step
	for line := range strings.SplitSeq(line, "; ") {
		words, _, err := split(line)
		if err != nil {
			return nil, err
		}
		var all []string
		for _, word := range words {
			replaced, err := v.replace(word)
			if err != nil {
				return nil, err
			}
			all = append(all, replaced...)
		}
		steps = append(steps, Step{Verb: all[0], Words: all[1:], Line: s.Line})
	}
	return steps, nil
}

// replace returns the words that stand for a word.
func (v Variant) replace(word string) ([]string, error) {
	if value, ok := v.values[strings.TrimPrefix(word, "$")]; ok && word[0] == '$' {
		words, _, err := split(value)
		return words, err
	}
	for name, value := range v.values {
		if words, _, err := split(value); err == nil && len(words) == 1 {
			value = words[0] // without quotes
		}
		word = strings.ReplaceAll(word, "$"+name, value)
	}
	return []string{word}, nil
}

// A group is the variants that had the same outcome.
type group struct {
	outcome  string
	variants []Variant
}

// Outcomes returns the lines that tell what the variants of a history came to in one step: one line
// if it was the same for all, none if that is nothing.
func (h History) Outcomes(variants []Variant, outcomes []string) ([]string, error) {
	dimensions, err := h.dimensions()
	if err != nil {
		return nil, err
	}
	var groups []*group
	for i, v := range variants {
		at := slices.IndexFunc(groups, func(g *group) bool { return g.outcome == outcomes[i] })
		if at < 0 {
			at = len(groups)
			groups = append(groups, &group{outcome: outcomes[i]})
		}
		groups[at].variants = append(groups[at].variants, v)
	}
	if len(groups) == 1 {
		if groups[0].outcome == "" {
			return nil, nil
		}
		return []string{groups[0].outcome}, nil
	}
	largest := slices.MaxFunc(groups, func(a, b *group) int { return cmp.Compare(len(a.variants), len(b.variants)) })
	var lines, others []string
	for _, g := range groups {
		label, short := g.label(dimensions)
		line := label + ": " + cmp.Or(g.outcome, "nothing")
		if g == largest && len(g.variants) > 2 && (!short || len(label) > width/3) {
			others = append(others, "else: "+cmp.Or(g.outcome, "nothing"))
			continue
		}
		lines = append(lines, line)
	}
	return append(lines, others...), nil
}

// some names labels of a dimension, or those that are not among them if that is much shorter.
func (d dimension) some(labels []string) string {
	var others []string
	for _, label := range d.labels {
		if !slices.Contains(labels, label) {
			others = append(others, label)
		}
	}
	if len(labels) > 3 && 2*len(others) < len(labels) {
		return "not " + strings.Join(others, " | ")
	}
	return strings.Join(labels, " | ")
}

// label names the variants of a group: by the values of those dimensions that tell it from the
// others, or else one by one.
func (g *group) label(dimensions []dimension) (label string, short bool) {
	product := 1
	var parts []string
	for i, d := range dimensions {
		var some []string
		for _, v := range g.variants {
			if !slices.Contains(some, v.labels[i]) {
				some = append(some, v.labels[i])
			}
		}
		product *= len(some)
		if len(some) < len(d.labels) {
			parts = append(parts, d.some(some))
		}
	}
	if product == len(g.variants) {
		return strings.Join(parts, ", "), true
	}
	var all []string
	for _, v := range g.variants {
		all = append(all, v.String())
	}
	return strings.Join(all, " | "), false
}
