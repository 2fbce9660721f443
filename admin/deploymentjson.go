package admin

import (
	"time"

	"github.com/deploymentkeys/gateway/keystore"
)

// Deployment is a Deployment in an answer.
type Deployment struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	CreatedAt   time.Time `json:"created_at"`
	KeyCount    int64     `json:"key_count"`

	// When all its tokens were last revoked; absent if they never were.
	TokensRevokedAt time.Time `json:"tokens_revoked_at,omitzero"`

	// The caller's role in it; only in the console, where callers have roles: see [API].Subject.
	Role keystore.Role `json:"role,omitempty"`
}

// DeploymentList is the answer of GET /deployments, by ID.
type DeploymentList struct {
	Deployments []Deployment `json:"deployments"`
	NextCursor  string       `json:"next_cursor,omitempty"`
}

// NewDeployment is the body of POST /deployments.
type NewDeployment struct {
	ID          *string `json:"id,omitempty"` // Default: a random one. An empty one is refused.
	Name        string  `json:"name"`
	Description string  `json:"description,omitempty"`
}

// DeploymentChange is the body of PATCH /deployments/{deployment}. What is absent stays.
type DeploymentChange struct {
	Name        *string `json:"name,omitempty"`
	Description *string `json:"description,omitempty"`
}
