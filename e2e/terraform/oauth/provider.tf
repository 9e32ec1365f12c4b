terraform {
  required_providers {
    confluent = {
      source = "confluentinc/confluent"
    }
  }
}

variable "endpoint" {
  description = "Where Weir serves, without a final slash."
  default     = "http://127.0.0.1:8080"
}

variable "token_url" {
  description = "Where the identity provider gives out tokens."
}

variable "client_id" {}

variable "client_secret" {
  sensitive = true
}

variable "pool" {
  description = "The identity pool to act for."
}

# There must be no API key beside it, in the environment neither.
provider "confluent" {
  endpoint = var.endpoint
  oauth {
    oauth_external_token_url     = var.token_url
    oauth_external_client_id     = var.client_id
    oauth_external_client_secret = var.client_secret
    oauth_identity_pool_id       = var.pool
  }
}
