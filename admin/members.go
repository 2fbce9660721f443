package admin

import (
	"net/http"

	"github.com/deploymentkeys/gateway/keystore"
)

func showMember(m keystore.Member) Member {
	return Member{m.User, m.DeploymentID, m.Role, m.CreatedAt, m.CreatedBy}
}

// listMembers is GET /deployments/{deployment}/members: {"members":[...]}.
func listMembers(c *callContext) (int, any, error) {
	list, err := c.keys.Members(c.r.Context(), c.deployment())
	if err != nil {
		return 0, nil, err
	}
	c.reportAltered(list.Altered)
	body := MemberList{[]Member{}}
	for _, member := range list.Items {
		body.Members = append(body.Members, showMember(member))
	}
	return http.StatusOK, body, nil
}

// putMember is PUT /deployments/{deployment}/members/{user}: {"role"}. 200.
func putMember(c *callContext) (int, any, error) {
	var body MemberRole
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
