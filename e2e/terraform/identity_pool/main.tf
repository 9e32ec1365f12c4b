# A pool of identities of a provider, which holds a role and is owned by a
# service account.

variable "filter" {
  default = "claims.aud == \"weir\" && \"orders\" in claims.groups"
}

variable "description" {
  default = "Services that write orders"
}

data "confluent_organization" "this" {}

resource "confluent_identity_provider" "login" {
  display_name = "login"
  description  = "The company's"
  issuer       = "https://login.example.com/"
  jwks_uri     = "https://127.0.0.1:1/keys" # put your provider's here
}

resource "confluent_identity_pool" "orders" {
  identity_provider {
    id = confluent_identity_provider.login.id
  }
  display_name   = "orders"
  description    = var.description
  identity_claim = "claims.sub"
  filter         = var.filter
}

resource "confluent_role_binding" "orders" {
  principal   = "User:${confluent_identity_pool.orders.id}"
  role_name   = "MetricsViewer"
  crn_pattern = data.confluent_organization.this.resource_name
}

resource "confluent_service_account" "owner" {
  display_name = "owner"
}

resource "confluent_role_binding" "owner" {
  principal   = "User:${confluent_service_account.owner.id}"
  role_name   = "ResourceOwner"
  crn_pattern = "${data.confluent_organization.this.resource_name}/identity-provider=${confluent_identity_provider.login.id}/identity-pool=${confluent_identity_pool.orders.id}"
}

data "confluent_identity_pool" "by_id" {
  id = confluent_identity_pool.orders.id
  identity_provider {
    id = confluent_identity_provider.login.id
  }
}

data "confluent_identity_pool" "by_name" {
  display_name = confluent_identity_pool.orders.display_name
  identity_provider {
    id = confluent_identity_provider.login.id
  }
  depends_on = [confluent_identity_pool.orders]
}

output "orders" {
  value = confluent_identity_pool.orders
}

output "by_id" {
  value = data.confluent_identity_pool.by_id
}

output "by_name" {
  value = data.confluent_identity_pool.by_name
}
