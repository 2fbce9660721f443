package admin

import (
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// Member is a member of a Deployment in an answer.
type Member struct {
	User         string        `json:"user"`
	DeploymentID string        `json:"deployment_id"`
	Role         keystore.Role `json:"role"`
	CreatedAt    time.Time     `json:"created_at"`
	CreatedBy    string        `json:"created_by"`
}

// MemberList is the answer of GET /deployments/{deployment}/members. It has no pages.
type MemberList struct {
	Members []Member `json:"members"`
}

// MemberRole is the body of PUT /deployments/{deployment}/members/{user}.
type MemberRole struct {
	Role string `json:"role"`
}
