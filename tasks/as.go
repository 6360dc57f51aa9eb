package tasks

// An Elector is a Store that elects one of the processes that Run it.
type Elector interface {
	Leads() bool
}

// As returns the first of s and the stores that it wraps that is a T.
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
