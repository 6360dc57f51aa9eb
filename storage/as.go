package storage

// As returns the first of s and the stores that it wraps that is a T, an optional interface such as
// [Lister], [Deleter], [Clock] or [SingleProcess]. A store that wraps another one has the method
// Unwrap() Store, which returns the wrapped store.
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
