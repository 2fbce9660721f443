package admin

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/deploymentkeys/gateway/keystore"
)

// This file alone knows who may make which call, where that is not everybody: see [API].Subject.

// A Subject is one of many callers, who may do what their role in each Deployment allows.
type Subject struct {
	User          string // as members of Deployments are named
	Administrator bool   // of the gateway: may do everything in every Deployment, and what is of no Deployment
}

// A need is what a call needs of its caller.
type need uint8

const (
	needsEntry         need = iota // nobody may make the call: it is not in the table
	needsUser                      // any user may; the call itself leaves out what is not theirs
	needsMember                    // any role in the Deployment of the path
	needsRoleAdmin                 // the role admin in the Deployment of the path
	needsAdministrator             // an administrator of the gateway
)

// needs is what each call needs, by path and method. Whoever adds a call says here who may make it; until
// then nobody may.
var needs = map[string]map[string]need{
	"/deployments": {http.MethodGet: needsUser, http.MethodPost: needsAdministrator},
	"/deployments/{deployment}": {
		http.MethodGet:    needsMember,
		http.MethodPatch:  needsRoleAdmin,
		http.MethodDelete: needsAdministrator,
	},
	"/deployments/{deployment}/revoke_tokens": {http.MethodPost: needsRoleAdmin},
	"/deployments/{deployment}/audit":         {http.MethodGet: needsRoleAdmin},

	"/deployments/{deployment}/keys": {http.MethodGet: needsMember, http.MethodPost: needsRoleAdmin},
	"/deployments/{deployment}/keys/{key}": {
		http.MethodGet:    needsMember,
		http.MethodPatch:  needsRoleAdmin,
		http.MethodDelete: needsRoleAdmin,
	},
	"/deployments/{deployment}/keys/{key}/rotate":          {http.MethodPost: needsRoleAdmin},
	"/deployments/{deployment}/keys/{key}/previous_secret": {http.MethodDelete: needsRoleAdmin},
	"/deployments/{deployment}/keys/{key}/revoke_tokens":   {http.MethodPost: needsRoleAdmin},

	"/deployments/{deployment}/members": {http.MethodGet: needsRoleAdmin},
	"/deployments/{deployment}/members/{user}": {
		http.MethodPut:    needsRoleAdmin,
		http.MethodDelete: needsRoleAdmin,
	},

	// Of no one Deployment. What is asked about a token may be about anybody's.
	"/audit":               {http.MethodGet: needsAdministrator},
	"/audit/export":        {http.MethodGet: needsAdministrator},
	"/signing_keys":        {http.MethodGet: needsAdministrator},
	"/signing_keys/rotate": {http.MethodPost: needsAdministrator},
	"/tokens/introspect":   {http.MethodPost: needsAdministrator},
	"/tokens/explain":      {http.MethodPost: needsAdministrator},
	"/tokens/revoke":       {http.MethodPost: needsAdministrator},
	"/tokens/revoke_all":   {http.MethodPost: needsAdministrator},
	readyPath:              {http.MethodGet: needsAdministrator},
}

// authorize decides on a call by its route, before anything is done for it. Roles are read from the store
// each time: nobody is to make a change with a role that was taken from them on another node a moment ago.
//
// One who is no member of a Deployment is told what they would be told if it did not exist.
func (c *callContext) authorize(path, method string) error {
	if c.subject == nil {
		return nil
	}
	needed := needs[path][method]
	switch {
	case needed == needsEntry:
		return forbidden("this call is not to be had here")
	case c.subject.Administrator:
		c.role = keystore.RoleAdmin
		return nil
	case needed == needsAdministrator:
		if c.deployment() == "" {
			return forbidden("this needs an administrator of the gateway")
		}
	case needed == needsUser:
		return nil
	}
	role, err := c.keys.Role(c.r.Context(), c.deployment(), c.subject.User)
	switch {
	case err != nil:
		return err
	case needed == needsAdministrator:
		return forbidden("this needs an administrator of the gateway")
	case needed == needsRoleAdmin && !role.ManagesKeys():
		return forbidden(fmt.Sprintf("this needs the role %s in Deployment %s; yours is %s", keystore.RoleAdmin, c.deployment(), role))
	}
	c.role = role
	return nil
}

// forbidden is the answer to one who may know of a thing, but not do this with it.
func forbidden(text string) error { return &apiError{http.StatusForbidden, text} }

// refuse answers a call that authorize did not allow.
func (a *API) refuse(c *callContext, err error) {
	status := writeError(c.w, c.tellable(err))
	a.failed(c.r, status, err)
	if status == http.StatusForbidden && a.Refused != nil {
		a.Refused(c.r, c.by, c.deployment(), err)
	}
}

// tellable is what the caller is told of an error. Where not everybody may know how the gateway is built,
// a fault of the store is told to administrators, and to the log.
func (c *callContext) tellable(err error) error {
	if c.subject == nil || c.subject.Administrator || errors.Is(err, keystore.ErrAltered) {
		return err
	}
	if status, _ := statusOf(err); status < http.StatusInternalServerError {
		return err
	}
	return &apiError{http.StatusServiceUnavailable, "the store cannot be asked right now; try again"}
}
