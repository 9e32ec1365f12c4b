# An integration with AWS. It is never changed, but replaced:
# -var role=arn:aws:iam::111122223333:role/orders-2

variable "role" {
  default = "arn:aws:iam::111122223333:role/orders"
}

resource "confluent_environment" "staging" {
  display_name = "staging"
}

resource "confluent_provider_integration" "archive" {
  display_name = "orders-archive"
  environment {
    id = confluent_environment.staging.id
  }
  aws {
    customer_role_arn = var.role
  }
}

data "confluent_provider_integration" "by_id" {
  id = confluent_provider_integration.archive.id
  environment {
    id = confluent_environment.staging.id
  }
}

data "confluent_provider_integration" "by_name" {
  display_name = confluent_provider_integration.archive.display_name
  environment {
    id = confluent_environment.staging.id
  }
}

# What may use the integration.
resource "confluent_service_account" "connector" {
  display_name = "connector"
}

resource "confluent_role_binding" "assigner" {
  principal              = "User:${confluent_service_account.connector.id}"
  role_name              = "Assigner"
  crn_pattern            = "${confluent_environment.staging.resource_name}/provider-integration=${confluent_provider_integration.archive.id}"
  disable_wait_for_ready = true
}

output "archive" {
  value = confluent_provider_integration.archive
}

output "by_id" {
  value = data.confluent_provider_integration.by_id
}

output "by_name" {
  value = data.confluent_provider_integration.by_name
}
