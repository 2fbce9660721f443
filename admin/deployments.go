package admin

import (
	"net/http"

	"github.com/deploymentkeys/gateway/keystore"
)

func showDeployment(d keystore.Deployment, role keystore.Role) Deployment {
	return Deployment{d.ID, d.Name, d.Description, d.CreatedAt, d.KeyCount, d.TokensRevokedAt, role}
}

// createDeployment is POST /deployments: {"id"?, "name", "description"?}. 201 with Location; 409
// if the ID exists.
func createDeployment(c *callContext) (int, any, error) {
	var body NewDeployment
	if err := readBody(c.w, c.r, &body); err != nil {
		return 0, nil, err
	}
	d := keystore.Deployment{Name: body.Name, Description: body.Description}
	if body.ID != nil {
		// An ID that is there and empty is a mistake, not the wish for a random one.
		if err := keystore.ValidateDeploymentID(*body.ID); err != nil {
			return 0, nil, err
		}
		d.ID = *body.ID
	}
	d, err := c.keys.CreateDeployment(c.r.Context(), c.by, d)
	if err != nil {
		return 0, nil, err
	}
	c.setLocation(d.ID)
	return http.StatusCreated, showDeployment(d, c.role), nil
}

// listDeployments is GET /deployments?limit=&cursor=: {"deployments":[...],"next_cursor"?}, by ID. Where
// not everybody may do everything, it lists those of which the caller is a member.
func listDeployments(c *callContext) (int, any, error) {
	page, err := readPage(c.r, func(id string) bool { return keystore.ValidateDeploymentID(id) == nil })
	if err != nil {
		return 0, nil, err
	}
	body := DeploymentList{Deployments: []Deployment{}}
	if c.subject != nil && !c.subject.Administrator {
		list, err := c.keys.Memberships(c.r.Context(), c.subject.User, page)
		if err != nil {
			return 0, nil, err
		}
		c.reportAltered(list.Altered)
		for _, m := range list.Items {
			body.Deployments = append(body.Deployments, showDeployment(m.Deployment, m.Role))
		}
		body.NextCursor = nextCursor(list)
		return http.StatusOK, body, nil
	}
	list, err := c.keys.Deployments(c.r.Context(), page)
	if err != nil {
		return 0, nil, err
	}
	c.reportAltered(list.Altered)
	for _, d := range list.Items {
		body.Deployments = append(body.Deployments, showDeployment(d, c.role))
	}
	body.NextCursor = nextCursor(list)
	return http.StatusOK, body, nil
}

// getDeployment is GET /deployments/{deployment}.
func getDeployment(c *callContext) (int, any, error) {
	d, err := c.keys.Deployment(c.r.Context(), c.deployment())
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, showDeployment(d, c.role), nil
}

// updateDeployment is PATCH /deployments/{deployment}: {"name"?,"description"?}. What is left out
// stays.
func updateDeployment(c *callContext) (int, any, error) {
	var body DeploymentChange
	if err := readBody(c.w, c.r, &body); err != nil {
		return 0, nil, err
	}
	d, err := c.keys.UpdateDeployment(c.r.Context(), c.by, c.deployment(), func(d *keystore.Deployment) error {
		set(&d.Name, body.Name)
		set(&d.Description, body.Description)
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, showDeployment(d, c.role), nil
}

// deleteDeployment is DELETE /deployments/{deployment}: with all its keys and members. 204.
func deleteDeployment(c *callContext) (int, any, error) {
	if err := c.keys.DeleteDeployment(c.r.Context(), c.by, c.deployment()); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, nil
}
