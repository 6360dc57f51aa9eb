package refserver

import (
	"errors"
	"net/http"

	"github.com/google/uuid"

	"github.com/tufonline/tufonline/internal/jsonform"
	"github.com/tufonline/tufonline/tasks"
	"github.com/tufonline/tufonline/tufupdate"
)

// admin returns the owner that the request's token names. The token has to be an admin's.
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

// operator returns an error unless the request's token is an operator's.
func (s *Server) operator(r *http.Request) error {
	who, err := s.auth.Authenticate(r)
	if err != nil {
		return &refusal{http.StatusUnauthorized, "no valid token", err}
	}
	if !who.Operator {
		return &refusal{status: http.StatusForbidden, why: "token is not an operator's"}
	}
	return nil
}

func errNotOwner() error {
	return &refusal{status: http.StatusForbidden, why: "app belongs to another owner"}
}

// forceOnline accepts an update of an app's online roles. A worker does it later.
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
	writeJSON(w, http.StatusOK, jsonform.Answer[jsonform.Acceptance]{
		Data:    jsonform.AcceptanceOf(task),
		Message: "Force online metadata update accepted.",
	})
	return nil
}

// taskState answers with the state and the outcome of a task. A task of another owner is "no such
// task" too.
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
	if err != nil || len(value) != len(id.String()) { // Parse accepts other notations too
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
	writeJSON(w, http.StatusOK, jsonform.Answer[jsonform.TaskState]{
		Data:    jsonform.TaskStateOf(task),
		Message: "Task state.",
	})
	return nil
}

// repositoryStatus answers with the status of an app's published repository.
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
	writeJSON(w, http.StatusOK, jsonform.Answer[jsonform.Status]{Data: statusForm(status), Message: "Repository status."})
	return nil
}

func statusForm(s tufupdate.Status) jsonform.Status {
	form := jsonform.Status{
		App: s.App, Healthy: len(s.Troubles) == 0, Roles: make([]jsonform.RoleStatus, len(s.Roles)), Warnings: s.Warnings,
	}
	for i, role := range s.Roles {
		form.Roles[i] = jsonform.RoleStatus(role)
	}
	for _, t := range s.Troubles {
		form.Troubles = append(form.Troubles, troubleForm(t))
	}
	for _, upload := range s.Uploads {
		form.Uploads = append(form.Uploads, jsonform.Upload(upload))
	}
	return form
}

// troubleForm leaves out what the key provider says, which may show paths and addresses.
func troubleForm(t tufupdate.Trouble) jsonform.Trouble {
	form := jsonform.Trouble{Role: t.Role, Code: t.Code, Who: string(t.Who), Text: t.Text, Since: t.Since}
	for _, k := range t.Keys {
		form.Keys = append(form.Keys, k.KeyID)
	}
	return form
}

// forget has an app forgotten, of any owner, and answers with the versions that were remembered.
func (s *Server) forget(w *response, r *http.Request) error {
	if err := s.operator(r); err != nil {
		return err
	}
	app, _, err := appParam(r)
	if err != nil {
		return err
	}
	w.app = app
	versions, err := s.updater.Forget(r.Context(), app)
	if err != nil {
		return err
	}
	if versions == nil {
		return &refusal{status: http.StatusNotFound, why: "no version of the app was remembered"}
	}
	writeJSON(w, http.StatusOK, jsonform.Answer[jsonform.Forgotten]{
		Data:    jsonform.Forgotten{App: app, Versions: versions},
		Message: "Forgotten.",
	})
	return nil
}
