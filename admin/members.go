package admin

import (
	"net/http"
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// memberJSON is a member in an answer.
type memberJSON struct {
	User         string        `json:"user"`
	DeploymentID string        `json:"deployment_id"`
	Role         keystore.Role `json:"role"`
	CreatedAt    time.Time     `json:"created_at"`
	CreatedBy    string        `json:"created_by"`
}

func showMember(m keystore.Member) memberJSON {
	return memberJSON{m.User, m.DeploymentID, m.Role, m.CreatedAt, m.CreatedBy}
}

// listMembers is GET /deployments/{deployment}/members: {"members":[...]}.
func listMembers(c *callContext) (int, any, error) {
	list, err := c.keys.Members(c.r.Context(), c.deployment())
	if err != nil {
		return 0, nil, err
	}
	c.reportAltered(list.Altered)
	body := struct {
		Members []memberJSON `json:"members"`
	}{[]memberJSON{}}
	for _, member := range list.Items {
		body.Members = append(body.Members, showMember(member))
	}
	return http.StatusOK, body, nil
}

// putMember is PUT /deployments/{deployment}/members/{user}: {"role"}. 200.
func putMember(c *callContext) (int, any, error) {
	var body struct {
		Role string `json:"role"`
	}
	if err := readBody(c.w, c.r, &body); err != nil {
		return 0, nil, err
	}
	role, err := keystore.ParseRole(body.Role)
	if err != nil {
		return 0, nil, err
	}
	member, err := c.keys.PutMember(c.r.Context(), c.by, c.deployment(), c.user(), role)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, showMember(member), nil
}

// deleteMember is DELETE /deployments/{deployment}/members/{user}. 204.
func deleteMember(c *callContext) (int, any, error) {
	if err := c.keys.DeleteMember(c.r.Context(), c.by, c.deployment(), c.user()); err != nil {
		return 0, nil, err
	}
	return http.StatusNoContent, nil, nil
}
