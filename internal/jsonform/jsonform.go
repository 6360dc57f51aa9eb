// Package jsonform holds every JSON form that other programs or later releases read: the HTTP
// answers of the reference server, River's rows, the records in faynoSync's Redis, and what is
// remembered of apps.
//
// A form is a plain struct with tags. The types of the library have none, so that a change to them
// changes no byte elsewhere. The tests of this package hold the bytes of each form.
package jsonform
