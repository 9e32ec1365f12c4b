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

# The key and its secret come from the environment: CONFLUENT_CLOUD_API_KEY and
# CONFLUENT_CLOUD_API_SECRET.
provider "confluent" {
  endpoint = var.endpoint
}
