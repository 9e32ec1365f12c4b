# Integrations with Azure and Google Cloud: a setup, what the customer does in
# the cloud, and an authorization. Names are never changed, but replaced:
# -var name=orders-2

variable "name" {
  default = "orders"
}

resource "confluent_environment" "staging" {
  display_name = "staging"
}

resource "confluent_provider_integration_setup" "azure" {
  display_name = "${var.name}-onelake"
  cloud        = "AZURE"
  environment {
    id = confluent_environment.staging.id
  }
}

resource "confluent_provider_integration_authorization" "azure" {
  provider_integration_id = confluent_provider_integration_setup.azure.id
  azure {
    customer_azure_tenant_id = "12345678-1234-1234-1234-123456789abc"
  }
  environment {
    id = confluent_environment.staging.id
  }
}

resource "confluent_provider_integration_setup" "google" {
  display_name = "${var.name}-bigquery"
  cloud        = "GCP"
  environment {
    id = confluent_environment.staging.id
  }
}

resource "confluent_provider_integration_authorization" "google" {
  provider_integration_id = confluent_provider_integration_setup.google.id
  gcp {
    customer_google_service_account = "orders@customer.iam.gserviceaccount.com"
  }
  environment {
    id = confluent_environment.staging.id
  }
}

data "confluent_provider_integration_setup" "by_id" {
  id = confluent_provider_integration_authorization.azure.provider_integration_id
  environment {
    id = confluent_environment.staging.id
  }
}

data "confluent_provider_integration_setup" "by_name" {
  display_name = confluent_provider_integration_setup.google.display_name
  environment {
    id = confluent_environment.staging.id
  }
  depends_on = [confluent_provider_integration_authorization.google]
}

data "confluent_provider_integration_authorization" "google" {
  id = confluent_provider_integration_authorization.google.id
  environment {
    id = confluent_environment.staging.id
  }
}

output "azure" {
  value = confluent_provider_integration_authorization.azure
}

output "google" {
  value = confluent_provider_integration_authorization.google
}

output "by_id" {
  value = data.confluent_provider_integration_setup.by_id
}

output "by_name" {
  value = data.confluent_provider_integration_setup.by_name
}

output "authorization" {
  value = data.confluent_provider_integration_authorization.google
}
