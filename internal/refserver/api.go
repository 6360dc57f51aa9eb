package refserver

import (
	"errors"
	"net/http"

	"github.com/google/uuid"

	"github.com/tufonline/tufonline/internal/taskresult"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

// A success is the body of every answer of the API that is not a refusal.
type success[T any] struct {
	Data    T      `json:"data"`
	Message string `json:"message"`
}

// admin returns the owner for whom the request's token speaks, provided that it is an admin's.
func (s *Server) admin(r *http.Request) (owner string, err error) {
	who, err := s.auth.Authenticate(r)
	if err != nil {
		return "", &refusal{http.StatusUnauthorized, "no valid token", err}
	}
	if !who.Admin {
		return "", &refusal{status: http.StatusForbidden, why: "token is not an admin's"}
	}
	return who.Owner, nil
}

func errNotOwner() error {
	return &refusal{status: http.StatusForbidden, why: "app belongs to another owner"}
}

type acceptance struct {
	TaskID     string `json:"task_id"`
	LastUpdate string `json:"last_update"` // when it was accepted
}

// forceOnline accepts an update of an app's online roles, which happens in the background.
func (s *Server) forceOnline(w *response, r *http.Request) error {
	owner, err := s.admin(r)
	if err != nil {
		return err
	}
	app, appOwner, err := appParam(r)
	if err != nil {
		return err
	}
	w.app = app
	roles, err := rolesBody(w, r)
	if err != nil {
		return err
	}
	if appOwner != owner {
		return errNotOwner()
	}
	task, err := s.updater.ForceOnline(r.Context(), app, roles)
	if err != nil {
		return err
	}
	w.task = task.ID
	writeJSON(w, http.StatusOK, success[acceptance]{
		Data:    acceptance{TaskID: task.ID, LastUpdate: taskresult.Time(task.Created)},
		Message: "Force online metadata update accepted.",
	})
	return nil
}

type taskData struct {
	TaskID string             `json:"task_id"`
	State  tasks.State        `json:"state"`
	Result *taskresult.Result `json:"result,omitempty"` // nil until the task has ended, or an attempt at it has failed
}

// taskState says how far a task is and what became of it. That a task belongs to another owner is
// answered as if there were none.
func (s *Server) taskState(w *response, r *http.Request) error {
	owner, err := s.admin(r)
	if err != nil {
		return err
	}
	value, err := param(r, "task_id")
	if err != nil {
		return err
	}
	notFound := &refusal{status: http.StatusNotFound, why: "no such task"}
	id, err := uuid.Parse(value)
	if err != nil || len(value) != len(id.String()) { // Parse takes other notations too
		return notFound
	}
	w.task = id.String()
	task, err := s.updater.Task(r.Context(), id.String())
	if errors.Is(err, tasks.ErrNotFound) {
		return notFound
	}
	if err != nil {
		return err
	}
	w.app = task.App
	if ownerOf(task.App) != owner {
		return notFound
	}
	writeJSON(w, http.StatusOK, success[taskData]{
		Data:    taskData{TaskID: task.ID, State: task.State, Result: taskresult.Of(task)},
		Message: "Task state.",
	})
	return nil
}

// repositoryStatus says what an app's published repository looks like.
func (s *Server) repositoryStatus(w *response, r *http.Request) error {
	owner, err := s.admin(r)
	if err != nil {
		return err
	}
	app, appOwner, err := appParam(r)
	if err != nil {
		return err
	}
	w.app = app
	if appOwner != owner {
		return errNotOwner()
	}
	status, err := s.updater.Status(r.Context(), app)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, success[tufupdate.Status]{Data: status, Message: "Repository status."})
	return nil
}
