package simulation

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A words value is the words of a step, as its verb takes them up: plain ones in order, and options
// of the form name=value. A verb that leaves some has not been written as it should.
type words struct{ left []string }

// plain takes and returns all words that are no options.
func (w *words) plain() (all []string) {
	w.left = slices.DeleteFunc(w.left, func(word string) bool {
		if isOption(word) {
			return false
		}
		all = append(all, word)
		return true
	})
	return all
}

// isOption reports whether a word has the form name=value, or is a change of keys.
func isOption(word string) bool {
	name, _, ok := strings.Cut(word, "=")
	return ok && name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz-") == "" || isKeyChange(word)
}

// isKeyChange reports whether a word adds or drops keys, as in +1 and -targets#1.
func isKeyChange(word string) bool {
	if len(word) < 2 || word[0] != '+' && word[0] != '-' {
		return false
	}
	_, err := strconv.Atoi(word[1:])
	return err == nil || strings.Contains(word, "#")
}

// first takes and returns the first plain word.
func (w *words) first() string {
	for i, word := range w.left {
		if !isOption(word) {
			w.left = slices.Delete(slices.Clone(w.left), i, i+1)
			return word
		}
	}
	return ""
}

// process takes and returns the name behind @, or that of the process which needs none.
func (w *words) process() string {
	for i, word := range w.left {
		if name, ok := strings.CutPrefix(word, "@"); ok {
			w.left = slices.Delete(slices.Clone(w.left), i, i+1)
			return name
		}
	}
	return "main"
}

// flag takes a plain word and reports whether it was there.
func (w *words) flag(name string) bool {
	i := slices.Index(w.left, name)
	if i < 0 {
		return false
	}
	w.left = slices.Delete(slices.Clone(w.left), i, i+1)
	return true
}

// all takes and returns the values of an option, in order.
func (w *words) all(name string) (values []string) {
	w.left = slices.DeleteFunc(slices.Clone(w.left), func(word string) bool {
		value, ok := strings.CutPrefix(word, name+"=")
		if ok {
			values = append(values, value)
		}
		return ok
	})
	return values
}

// option takes and returns the value of an option, and whether it was there.
func (w *words) option(name string) (string, bool) {
	values := w.all(name)
	if len(values) == 0 {
		return "", false
	}
	return values[len(values)-1], true
}

// list takes an option and returns its values, which commas separate.
func (w *words) list(name string) []string {
	value, ok := w.option(name)
	if !ok || value == "" {
		return nil
	}
	return strings.Split(value, ",")
}

// pairs takes an option of the form name=a:1,b:2 and returns its values by name.
func (w *words) pairs(name string) map[string]string {
	all := map[string]string{}
	for _, value := range w.list(name) {
		i := strings.LastIndexByte(value, ':')
		if i < 0 {
			panic(mistake(fmt.Sprintf("%s=%s: no colon", name, value)))
		}
		all[value[:i]] = value[i+1:]
	}
	return all
}

// number takes an option and returns its value, 0 if it is not there.
func (w *words) number(name string) int {
	value, ok := w.option(name)
	if !ok {
		return 0
	}
	return number(value)
}

// A mistake is the panic of a history that is not written as it should.
type mistake string

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(mistake(err.Error()))
	}
	return n
}

// duration reads a duration, which may begin with days, as in 20d or -1d12h.
func duration(text string) time.Duration {
	rest, negative := strings.CutPrefix(text, "-")
	var total time.Duration
	if days, after, ok := strings.Cut(rest, "d"); ok {
		total, rest = time.Duration(number(days))*24*time.Hour, after
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil {
			panic(mistake(err.Error()))
		}
		total += d
	}
	if negative {
		return -total
	}
	return total
}
