package tasks

// An Elector is a Store that elects one process among all that share it. A Store without it belongs
// to one process, which leads. Ask for it with [As].
type Elector interface {
	// Leads reports whether the Run of this process does what one process should do for all, such
	// as looking after apps. For a moment while leadership moves, two processes may say so, or
	// none. Leads makes no request.
	Leads() bool
}

// As returns the first of s and the stores that it wraps that is a T, an optional interface such as
// [Elector]. A store that wraps another one has the method Unwrap() Store, which returns the
// wrapped store.
//
// Calls on the result do not pass through the wrappers before it.
func As[T any](s Store) (T, bool) {
	for s != nil {
		if t, ok := s.(T); ok {
			return t, true
		}
		wrapper, ok := s.(interface{ Unwrap() Store })
		if !ok {
			break
		}
		s = wrapper.Unwrap()
	}
	var none T
	return none, false
}
