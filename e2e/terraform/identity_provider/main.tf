# An issuer of tokens outside of Weir. Where it publishes its keys is asked by
# Weir and not by Terraform: a provider that cannot be reached is made all the same.

variable "name" {
  default = "login"
}

variable "issuer" {
  default = "https://login.example.com/realms/company/"
}

variable "jwks_uri" {
  default = "https://127.0.0.1:1/keys/" # put your provider's here
}

resource "confluent_identity_provider" "login" {
  display_name   = var.name
  description    = "The company's ${var.name}"
  issuer         = var.issuer
  jwks_uri       = var.jwks_uri
  identity_claim = "claims.email"
}

# The claim that tells identities apart may be left out.
resource "confluent_identity_provider" "partner" {
  display_name = "partner"
  description  = "Another company's"
  issuer       = "https://partner.example.com"
  jwks_uri     = var.jwks_uri
}

data "confluent_identity_provider" "by_id" {
  id         = confluent_identity_provider.login.id
  depends_on = [confluent_identity_provider.login]
}

data "confluent_identity_provider" "by_name" {
  display_name = confluent_identity_provider.login.display_name
  depends_on   = [confluent_identity_provider.login]
}

output "login" {
  value = confluent_identity_provider.login
}

output "by_id" {
  value = data.confluent_identity_provider.by_id
}

output "by_name" {
  value = data.confluent_identity_provider.by_name
}
